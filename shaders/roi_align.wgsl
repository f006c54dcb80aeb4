// roi_align: regions of maps, each on a grid of cells, as torchvision's and ONNX's RoIAlign.
//
//   out[n, c, r * cells_y + cy, cx] = mean over i, j in 0..samples of
//       map[n, c] at y = y1 + (cy + (i + 0.5) / samples) * (y2 - y1) / cells_y, and x likewise
//
// Between pixels a map is bilinear. Up to one pixel beyond it is as at its edge, farther out zero.
// A region is x1, y1, x2, y2 times the map's scale: less 0.5 where ALIGNED, else its sides are at
// least 1.
// A region is of the first map, or of the last whose `least` its area (unscaled) reaches.
//
// map_0 to map_3, output: [n][block][pixel] blocks of four channels in one channel order.
// regions: [n][r * 4 + side] blocks, whose first lanes count.
// One invocation: one block of one cell. Workgroup memory: none.
#import dtype
#import grid

struct Params {
    cells_y: u32,
    cells_x: u32,
    samples: u32,
    pixels_out: u32,
    blocks: u32,
    outputs: u32,
    workgroups: u32,
    regions_offset: u32,
    regions_stride: u32,
    output_offset: u32,
    output_stride: u32,
    // Of each map, with the bits of the last two, which are f32.
    height_0: u32,
    width_0: u32,
    offset_0: u32,
    stride_0: u32,
    scale_0: u32,
    least_0: u32,
    height_1: u32,
    width_1: u32,
    offset_1: u32,
    stride_1: u32,
    scale_1: u32,
    least_1: u32,
    height_2: u32,
    width_2: u32,
    offset_2: u32,
    stride_2: u32,
    scale_2: u32,
    least_2: u32,
    height_3: u32,
    width_3: u32,
    offset_3: u32,
    stride_3: u32,
    scale_3: u32,
    least_3: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> regions: array<Stored>;
@group(0) @binding(2) var<storage, read_write> output: array<Stored>;
#for m in 0..MAPS
@group(0) @binding(${3 + m}) var<storage, read> map_${m}: array<Stored>;
#endfor

const WG = ${WG}u;

// Along an axis the two pixels that a place lies between, and the second one's weight. Beyond the
// map neither counts: `inside`.
struct Tap {
    first: u32,
    second: u32,
    weight: f32,
    inside: bool,
}

fn tap(place: f32, length: u32) -> Tap {
    let last = f32(length - 1u);
    if !(place >= -1.0 && place <= f32(length)) {
        return Tap(0u, 0u, 0.0, false);
    }
    let on_map = clamp(place, 0.0, last);
    let first = min(u32(on_map), length - 1u);
    return Tap(first, min(first + 1u, length - 1u), on_map - f32(first), true);
}

#for m in 0..MAPS
fn cell_${m}(region: vec4<f32>, cell: vec2<u32>, n: u32, block: u32) -> vec4<f32> {
    let base = params.offset_${m} + n * params.stride_${m} + block * params.height_${m} * params.width_${m};
    let scaled = region * bitcast<f32>(params.scale_${m});
#if ALIGNED
    let start = scaled.xy - 0.5;
    let sides = scaled.zw - scaled.xy;
#else
    let start = scaled.xy;
    let sides = max(scaled.zw - scaled.xy, vec2<f32>(1.0));
#endif
    let bin = sides / vec2<f32>(f32(params.cells_x), f32(params.cells_y));
    let corner = start + vec2<f32>(cell) * bin;
    let step = bin / f32(params.samples);
    var sum = vec4<f32>();
    for (var i = 0u; i < params.samples; i++) {
        let y = tap(corner.y + (f32(i) + 0.5) * step.y, params.height_${m});
        let top = base + y.first * params.width_${m};
        let bottom = base + y.second * params.width_${m};
        for (var j = 0u; j < params.samples; j++) {
            let x = tap(corner.x + (f32(j) + 0.5) * step.x, params.width_${m});
            let above = mix(unpack(map_${m}[top + x.first]), unpack(map_${m}[top + x.second]), x.weight);
            let below = mix(unpack(map_${m}[bottom + x.first]), unpack(map_${m}[bottom + x.second]), x.weight);
            // What is read in the place of a pixel beyond the map may be no number.
            sum += select(vec4<f32>(), mix(above, below, y.weight), x.inside && y.inside);
        }
    }
    return sum / f32(params.samples * params.samples);
}
#endfor

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
    let block = (out / params.pixels_out) % params.blocks;
    let n = out / (params.pixels_out * params.blocks);
    let row = pixel / params.cells_x;
    let cell = vec2<u32>(pixel % params.cells_x, row % params.cells_y);
    let first = params.regions_offset + n * params.regions_stride + row / params.cells_y * 4u;
    let region = vec4<f32>(
        unpack(regions[first]).x,
        unpack(regions[first + 1u]).x,
        unpack(regions[first + 2u]).x,
        unpack(regions[first + 3u]).x,
    );
    let area = (region.z - region.x) * (region.w - region.y);
    var level = 0u;
#for m in 1..MAPS
    level += select(0u, 1u, area >= bitcast<f32>(params.least_${m}));
#endfor
    var value = vec4<f32>();
#for m in 0..MAPS
    if level == ${m}u {
        value = cell_${m}(region, cell, n, block);
    }
#endfor
    output[params.output_offset + n * params.output_stride + block * params.pixels_out + pixel] = pack(value);
}
