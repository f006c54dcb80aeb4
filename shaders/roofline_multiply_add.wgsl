// roofline_multiply_add: the device's multiply-add rate, from registers alone.
//
// Sixteen independent chains x = x * scale + shift hide each other's latency. Scale and shift come
// from the uniform, so that nothing can be computed ahead. The result is stored, so that the chains
// are not removed. Each round is 16 * 4 multiply-adds of an invocation.
// One invocation: its own chains, one vec4 written. Workgroup memory: none.

struct Params {
    rounds: u32,
    scale: f32,
    shift: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let scale = vec4(params.scale);
    let shift = vec4(params.shift);
    let start = vec4(f32(id.x & 63u)) + vec4(0.0, 0.25, 0.5, 0.75);
#for i in 0..16
    var x${i} = start + vec4(f32(${i}u));
#endfor
    for (var round = 0u; round < params.rounds; round++) {
#for i in 0..16
        x${i} = fma(x${i}, scale, shift);
#endfor
    }
    var sum = x0;
#for i in 1..16
    sum += x${i};
#endfor
    if id.x < arrayLength(&output) {
        output[id.x] = sum;
    }
}
