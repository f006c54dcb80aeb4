// pool: maximum or mean over a window, or over the whole map.
//
//   out[n, c, y, x] = max or mean of in[n, c, y * stride - pad + ky, x * stride - pad + kx]
//
// Both are over the window's pixels on the map. The mean divides by these, or with `count_pad` by
// all of the window (PyTorch's count_include_pad).
// input, output: [n][block][pixel] blocks of four channels.
// WINDOW: one invocation makes one output pixel of one block. Else one workgroup makes the mean of
//     one whole map.
// Workgroup memory: none with WINDOW, else WG * 16 bytes.
#import dtype
#import grid

struct Params {
    width_in: u32,
    height_in: u32,
    width_out: u32,
    height_out: u32,
    kernel_y: u32,
    kernel_x: u32,
    stride_y: u32,
    stride_x: u32,
    pad_y: u32,
    pad_x: u32,
    blocks: u32,
    outputs: u32,
    workgroups: u32,
    input_offset: u32,
    input_stride: u32,
    output_offset: u32,
    output_stride: u32,
    maximum: u32,
    count_pad: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Stored>;
#if SUMS
@group(0) @binding(4) var<storage, read_write> output: array<vec4<f32>>;
#else
@group(0) @binding(4) var<storage, read_write> output: array<Stored>;
#endif

const WG = ${WG}u;
#if !WINDOW
#import reduce
#endif

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
    let pixels_in = params.width_in * params.height_in;
#if WINDOW
    let out = index * WG + lane;
    if out >= params.outputs {
        return;
    }
    let pixels_out = params.width_out * params.height_out;
    let pixel = out % pixels_out;
    let block = (out / pixels_out) % params.blocks;
    let n = out / (pixels_out * params.blocks);
    let base = params.input_offset + n * params.input_stride + block * pixels_in;
    let y = (pixel / params.width_out) * params.stride_y;
    let x = (pixel % params.width_out) * params.stride_x;
    var best = vec4<f32>(-3.4028234e38);
    var total = vec4<f32>(0.0);
    var count = 0u;
    for (var ky = 0u; ky < params.kernel_y; ky++) {
        let iy = y + ky - params.pad_y;
        if iy < params.height_in {
            for (var kx = 0u; kx < params.kernel_x; kx++) {
                let ix = x + kx - params.pad_x;
                if ix < params.width_in {
                    let v = unpack(input[base + iy * params.width_in + ix]);
                    best = max(best, v);
                    total += v;
                    count += 1u;
                }
            }
        }
    }
    let divisor = select(count, params.kernel_y * params.kernel_x, params.count_pad != 0u);
    let value = select(total / f32(max(divisor, 1u)), best, params.maximum != 0u);
    output[params.output_offset + n * params.output_stride + block * pixels_out + pixel] = pack(value);
#else
    let block = index % params.blocks;
    let n = index / params.blocks;
    let base = params.input_offset + n * params.input_stride + block * pixels_in;
    var total = vec4<f32>(0.0);
    for (var i = lane; i < pixels_in; i += WG) {
        total += unpack(input[base + i]);
    }
    sums_of[lane] = total;
    reduce_sums(lane);
    if lane == 0u {
#if SUMS
        output[n * params.blocks + block] = sums_of[0];
#else
        output[params.output_offset + n * params.output_stride + block] = pack(sums_of[0] / f32(pixels_in));
#endif
    }
#endif
}
