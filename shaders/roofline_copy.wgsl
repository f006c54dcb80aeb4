// roofline_copy: the rate at which the device reads and writes buffers.
//
//   output[i] = input[i]
//
// One invocation: one vec4 read, one written. Workgroup memory: none.

struct Params {
    blocks: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < params.blocks {
        output[id.x] = input[id.x];
    }
}
