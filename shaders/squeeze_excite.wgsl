// squeeze_excite: the gate of a squeeze-and-excite (Hu et al., CVPR 2018) from its input's sums:
// mean and two small layers, in one dispatch.
//
//   mean[i] = sum over tiles of sums[n, tile, i] / pixels
//   gate[n, o] = act2(bias2[o] + sum_r W2[o, r] * act1(bias1[r] + sum_i W1[r, i] * mean[i]))
//
// sums: [n][tile][block], f32. gate: [n][block], f32.
// weight: W1 [reduced block][block][input lane] rows of four output lanes, then W2
//     [reduced block][block][input lane] at expand_offset. So neighbouring invocations read
//     neighbouring rows in both.
// bias: bias1 [reduced block], then bias2 [block] at expand_bias_offset.
// One workgroup: one image, or one of its `parts`, of `part` blocks of the gate. Each part makes
//     all of layer 1. `slices` invocations share a reduced block's sum, and `gate_slices` a gate's.
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
    gate_slices: u32,
    expand_offset: u32,
    expand_bias_offset: u32,
    parts: u32,
    part: u32,
    workgroups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<Stored>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> gate: array<vec4<f32>>;

const WG = ${WG}u;
var<workgroup> means: array<vec4<f32>, ${MAX_BLOCKS}>;
var<workgroup> reduced: array<vec4<f32>, ${MAX_REDUCED}>;
var<workgroup> partial: array<vec4<f32>, ${WG}>;

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
    let index = workgroup_index(group, groups);
    if index >= params.workgroups {
        return;
    }
    let n = index / params.parts;
    let part = index % params.parts;
    for (var block = lane; block < params.blocks; block += WG) {
        means[block] = mean(n, block);
    }
    workgroupBarrier();
    let end = min((part + 1u) * params.part, params.blocks);
    // A team of invocations shares an output block's sum. Each takes every so many-th input, UNROLL
    // of them at a time. Neighbours in a team are `step` or 1 apart, and read neighbouring rows.
#for layer in 1..3
    {
#if layer == 1
        let slices = params.slices;
        let step = 1u;
        let team = lane / slices;
        let first = 0u;
        let end = params.blocks_reduced;
        let count = params.blocks;
        let biases = 0u;
#else
        let slices = params.gate_slices;
        let step = WG / slices;
        let team = lane % step;
        let first = part * params.part;
        let count = params.blocks_reduced;
        let biases = params.expand_bias_offset;
#endif
        let slice = lane / step % slices;
        for (var start = first; start < end; start += WG / slices) {
            let block = start + team;
            var total = vec4<f32>(0.0);
            if block < end {
                for (var i = slice; i < count; i += slices * ${UNROLL}u) {
#for u in 0..UNROLL
                    let at${u} = min(i + ${u}u * slices, count - 1u);
#if layer == 1
                    let w${u} = (block * count + at${u}) * 4u;
                    let v${u} = means[at${u}];
#else
                    let w${u} = params.expand_offset + (at${u} * params.blocks + block) * 4u;
                    let v${u} = reduced[at${u}];
#endif
                    // All loads stand in front of the multiply-adds, or RDNA2's compiler has four
                    // under way, not 4 * UNROLL.
                    let x${u} = select(vec4<f32>(0.0), v${u}, i + ${u}u * slices < count);
#for j in 0..4
                    let r${u}_${j} = unpack(weight[w${u} + ${j}u]);
#endfor
#endfor
#for u in 0..UNROLL
#for j in 0..4
                    total = fma(vec4<f32>(x${u}[${j}]), r${u}_${j}, total);
#endfor
#endfor
                }
            }
            partial[lane] = total;
            workgroupBarrier();
            if slice == 0u && block < end {
                var all = bias[biases + block];
                for (var s = 0u; s < slices; s++) {
                    all += partial[lane + s * step];
                }
#if layer == 1
                reduced[block] = activate${REDUCE_ACTIVATION}(all);
#else
                gate[n * params.blocks + block] = activate${GATE_ACTIVATION}(all);
#endif
            }
            workgroupBarrier();
        }
    }
#endfor
}
