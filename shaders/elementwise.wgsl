// elementwise: an activation of one tensor, or of the sum or product of two.
//
//   out[n, c, p] = activate(a[n, c, p] OP b[n, c, p])      OP: 0 none, 1 add, 2 multiply
//
// a, b, out: [n][block][pixel] blocks of four channels in one channel order.
// b_is_gate: b is [n, c, 1, 1] and holds for the whole map.
// parameter: the activation's, a block for each of the output's.
// GATE: b is an f32 gate [n][block] as squeeze_excite writes it, whatever the element type.
// One invocation: one block of one pixel. Workgroup memory: none.
#import dtype
#import activation
#import grid

struct Params {
    pixels: u32,
    blocks: u32,
    outputs: u32,
    workgroups: u32,
    a_offset: u32,
    a_stride: u32,
    b_offset: u32,
    b_stride: u32,
    output_offset: u32,
    output_stride: u32,
    b_is_gate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<Stored>;
#if OP > 0
#if GATE
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
#else
@group(0) @binding(2) var<storage, read> b: array<Stored>;
#endif
#endif
#if ACTIVATION >= 16
@group(0) @binding(3) var<storage, read> parameter: array<vec4<f32>>;
#endif
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
    let per_image = params.pixels * params.blocks;
    let n = out / per_image;
    let at = out % per_image;
    var v = unpack(a[params.a_offset + n * params.a_stride + at]);
#if OP > 0
    let b_at = params.b_offset + n * params.b_stride + select(at, at / params.pixels, params.b_is_gate != 0u);
#if GATE
    let w = b[b_at];
#else
    let w = unpack(b[b_at]);
#endif
#if OP == 1
    v += w;
#else
    v *= w;
#endif
#endif
#if ACTIVATION < 16
    v = activate${ACTIVATION}(v);
#else
    v = activate${ACTIVATION}(v, parameter[at / params.pixels]);
#endif
    output[params.output_offset + n * params.output_stride + at] = pack(v);
}
