// preprocess: 8-bit pixels, already resized and cropped, to the network's normalised input.
//
//   out[n, c, p] = (pixel[n, p][c] / 255 - mean[c]) / std[c] = pixel * scale[c] + shift[c]
//
// pixels: [n][pixel], one RGBA8 word each (red lowest, alpha unused).
// output: [n][1 block][pixel]; the fourth lane is 0.
// scale_shift: scale, then shift, one lane a channel.
// One invocation: one pixel. Workgroup memory: none.
#import dtype
#import grid

struct Params {
    outputs: u32,
    workgroups: u32,
    pixels: u32,
    output_offset: u32,
    output_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> pixels: array<u32>;
@group(0) @binding(3) var<storage, read> scale_shift: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> output: array<Stored>;

const WG = ${WG}u;

@compute @workgroup_size(${WG})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let out = workgroup_index(group, groups) * WG + lane;
    if out >= params.outputs {
        return;
    }
    let rgba = pixels[out];
    let v = vec4<f32>(vec4<u32>(rgba, rgba >> 8u, rgba >> 16u, 0u) & vec4<u32>(255u));
    let at = params.output_offset + (out / params.pixels) * params.output_stride + out % params.pixels;
    output[at] = pack(fma(v, scale_shift[0], scale_shift[1]));
}
