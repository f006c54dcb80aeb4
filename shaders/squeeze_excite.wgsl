// squeeze_excite: the gate of a squeeze-and-excite (Hu et al., CVPR 2018) from its input's sums: mean, two small layers, in one dispatch.
//
//   mean[i] = sum over tiles of sums[n, tile, i] / pixels
//   gate[n, o] = act2(bias2[o] + sum_r W2[o, r] * act1(bias1[r] + sum_i W1[r, i] * mean[i]))
//
// sums: [n][tile][block], f32. gate: [n][block], f32. weight: W1 [reduced block][block][input lane] rows of four output lanes, then W2
// [reduced block][block][input lane] at expand_offset, so that neighbouring invocations read neighbouring rows in both.
// bias: bias1 [reduced block], then bias2 [block] at expand_bias_offset.
// One workgroup: one image. Layer 1: SLICES invocations share a reduced block's sum; layer 2: one invocation a block.
// The means lie in workgroup memory, or, where MAX_BLOCKS is 0, are made anew by each invocation that needs one.
// Workgroup memory: (MAX_BLOCKS + MAX_REDUCED + WG) * 16 bytes.
#import dtype
#import activation
#import grid

struct Params {
    blocks: u32,
    blocks_reduced: u32,
    tiles: u32,
    pixels: u32,
    slices: u32,
    expand_offset: u32,
    expand_bias_offset: u32,
    workgroups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<Stored>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> gate: array<vec4<f32>>;

const WG = ${WG}u;
#if MAX_BLOCKS
var<workgroup> means: array<Held, ${MAX_BLOCKS}>;
#endif
var<workgroup> reduced: array<Held, ${MAX_REDUCED}>;
var<workgroup> partial: array<Held, ${WG}>;

fn mean(n: u32, block: u32) -> vec4<f32> {
    var total = vec4<f32>(0.0);
    for (var tile = 0u; tile < params.tiles; tile++) {
        total += sums[(n * params.tiles + tile) * params.blocks + block];
    }
    return total / f32(params.pixels);
}

@compute @workgroup_size(${WG})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let n = workgroup_index(group, groups);
    if n >= params.workgroups {
        return;
    }
#if MAX_BLOCKS
    for (var block = lane; block < params.blocks; block += WG) {
        means[block] = hold(mean(n, block));
    }
    workgroupBarrier();
#endif

    // Reduced blocks are taken WG / slices at a time; `slices` is a power of two.
    let slice = lane % params.slices;
    let team = lane / params.slices;
    let teams = WG / params.slices;
    for (var start = 0u; start < params.blocks_reduced; start += teams) {
        let r = start + team;
        var total = vec4<f32>(0.0);
        if r < params.blocks_reduced {
            for (var i = slice; i < params.blocks; i += params.slices) {
                let w = (r * params.blocks + i) * 4u;
#if MAX_BLOCKS
                let m = held(means[i]);
#else
                let m = mean(n, i);
#endif
                total = fma(vec4<f32>(m.x), unpack(weight[w]), total);
                total = fma(vec4<f32>(m.y), unpack(weight[w + 1u]), total);
                total = fma(vec4<f32>(m.z), unpack(weight[w + 2u]), total);
                total = fma(vec4<f32>(m.w), unpack(weight[w + 3u]), total);
            }
        }
        partial[lane] = hold(total);
        workgroupBarrier();
        if slice == 0u && r < params.blocks_reduced {
            var all = bias[r];
            for (var s = 0u; s < params.slices; s++) {
                all += held(partial[lane + s]);
            }
            reduced[r] = hold(activate${REDUCE_ACTIVATION}(all));
        }
        workgroupBarrier();
    }

    for (var block = lane; block < params.blocks; block += WG) {
        var total = bias[params.expand_bias_offset + block];
        for (var r = 0u; r < params.blocks_reduced; r++) {
            let w = params.expand_offset + (r * params.blocks + block) * 4u;
            let h = held(reduced[r]);
            total = fma(vec4<f32>(h.x), unpack(weight[w]), total);
            total = fma(vec4<f32>(h.y), unpack(weight[w + 1u]), total);
            total = fma(vec4<f32>(h.z), unpack(weight[w + 2u]), total);
            total = fma(vec4<f32>(h.w), unpack(weight[w + 3u]), total);
        }
        gate[n * params.blocks + block] = activate${GATE_ACTIVATION}(total);
    }
}
