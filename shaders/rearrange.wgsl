// rearrange: values of each image in another order, some of them, or some repeatedly.
//
//   out[n, c, p] = in[n, start_channel + sum of i_k * channels_k,
//                        start_pixel + sum of i_k * pixels_k]
//   where i_0 .. i_5 are the digits of c * pixels_out + p in the base len_0 .. len_5
//
// input, output: [n][block][pixel] blocks of four channels; the output's channels in their order.
// table: the physical lane of each input channel, as f32.
// One invocation: one block of one pixel. Workgroup memory: none.
#import dtype
#import grid

struct Params {
    pixels_in: u32,
    pixels_out: u32,
    channels_out: u32,
    blocks_out: u32,
    outputs: u32,
    workgroups: u32,
    input_offset: u32,
    input_stride: u32,
    output_offset: u32,
    output_stride: u32,
    start_channel: u32,
    start_pixel: u32,
#for k in 0..6
    len_${k}: u32,
#endfor
#for k in 0..6
    channels_${k}: u32,
#endfor
#for k in 0..6
    pixels_${k}: u32,
#endfor
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Stored>;
@group(0) @binding(3) var<storage, read> table: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<Stored>;

const WG = ${WG}u;

// The value of an image whose number among all of the output's is `index`, or 0 past the last
// channel. Steps may be negative: sums wrap round.
fn fetch(base: u32, channel: u32, pixel: u32) -> f32 {
    if channel >= params.channels_out {
        return 0.0;
    }
    var rest = channel * params.pixels_out + pixel;
    var from_channel = params.start_channel;
    var from_pixel = params.start_pixel;
#for k in 0..6
    {
        let digit = rest % params.len_${5 - k};
        rest /= params.len_${5 - k};
        from_channel += digit * params.channels_${5 - k};
        from_pixel += digit * params.pixels_${5 - k};
    }
#endfor
    let lane = u32(table[from_channel]);
    let v = unpack(input[base + (lane / 4u) * params.pixels_in + from_pixel]);
    let low = select(v.x, v.y, (lane & 1u) != 0u);
    let high = select(v.z, v.w, (lane & 1u) != 0u);
    return select(low, high, (lane & 2u) != 0u);
}

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
    let pixel = out % params.pixels_out;
    let block = (out / params.pixels_out) % params.blocks_out;
    let n = out / (params.pixels_out * params.blocks_out);
    let base = params.input_offset + n * params.input_stride;
    let c = block * 4u;
    let v = vec4<f32>(fetch(base, c, pixel), fetch(base, c + 1u, pixel), fetch(base, c + 2u, pixel), fetch(base, c + 3u, pixel));
    output[params.output_offset + n * params.output_stride + block * params.pixels_out + pixel] = pack(v);
}
