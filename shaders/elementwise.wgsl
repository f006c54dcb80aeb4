// elementwise: an activation of one tensor, or of what is calculated of two.
//
//   out[n, c, p] = activate(a[n, c, p] OP b[n, c, p])
//
// OP: 0 none, else the number of `Calculation` in src/graph/calculation.rs.
// a, b, out: [n][block][pixel] blocks of four channels in one channel order.
// b_is_gate: b is [n, c, 1, 1] and holds for the whole map.
// parameter: the activation's, a block for each of the output's.
// GATE: b is f32 whatever the element type: a gate [n][block] as squeeze_excite writes it, or a
// constant [block] or [block][pixel], for all images.
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

#if OP > 0
fn calculate(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
#if OP == 1
    return a + b;
#endif
#if OP == 2
    return a * b;
#endif
#if OP == 3
    return a - b;
#endif
#if OP == 4
    return b - a;
#endif
#if OP == 5
    return a / b;
#endif
#if OP == 6
    return b / a;
#endif
#if OP == 7
    return min(a, b);
#endif
#if OP == 8
    return max(a, b);
#endif
#if OP == 9
    return power(a, b);
#endif
#if OP == 10
    return power(b, a);
#endif
#if OP == 11
    return select(vec4<f32>(0.0), vec4<f32>(1.0), a == b);
#endif
}
#endif

#if OP == 9 || OP == 10
// WGSL's pow is for positive numbers. A negative one has whole powers only.
fn power(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    let size = select(pow(abs(a), b), vec4<f32>(1.0), b == vec4<f32>(0.0));
    let is_odd = fract(b * 0.5) != vec4<f32>(0.0);
    let of_negative = select(select(size, -size, is_odd), sqrt(a), floor(b) != b);
    return select(size, of_negative, a < vec4<f32>(0.0));
}
#endif

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
    v = calculate(v, w);
#endif
#if ACTIVATION < 16
    v = activate${ACTIVATION}(v);
#else
    v = activate${ACTIVATION}(v, parameter[at / params.pixels]);
#endif
    output[params.output_offset + n * params.output_stride + at] = pack(v);
}
