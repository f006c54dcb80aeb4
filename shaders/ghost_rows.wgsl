// ghost_rows: prototype
#import dtype
#import activation
#import grid

struct Params {
    width: u32,
    height: u32,
    blocks_in: u32,
    blocks_primary: u32,
    tile_width: u32,
    tile_height: u32,
    tiles_x: u32,
    tiles_y: u32,
    tiles_channel: u32,
    workgroups: u32,
    input_offset: u32,
    input_stride: u32,
    output_offset: u32,
    output_stride: u32,
    residual_offset: u32,
    residual_stride: u32,
    cheap_offset: u32,
    cheap_bias_offset: u32,
    ghost_groups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Stored>;
@group(0) @binding(2) var<storage, read> weight: array<Stored>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> output: array<Stored>;
#if GATE
@group(0) @binding(5) var<storage, read> gate: array<vec4<f32>>;
#endif
#if RESIDUAL
@group(0) @binding(6) var<storage, read> residual: array<Stored>;
#endif
#if SUMS
@group(0) @binding(7) var<storage, read_write> sums: array<vec4<f32>>;
#endif

@compute @workgroup_size(${LANES})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let index = workgroup_index(group, groups);
    if index >= params.workgroups {
        return;
    }
    let tiles = params.tiles_x * params.tiles_y;
    let tile = index % tiles;
    let channel_tile = (index / tiles) % params.tiles_channel;
    let n = index / (tiles * params.tiles_channel);
    let block = channel_tile * ${BLOCKS}u;
    let pixels = params.width * params.height;

    let left = (tile % params.tiles_x) * params.tile_width;
    let top = (tile / params.tiles_x) * params.tile_height;
    let right = min(left + params.tile_width, params.width);
    let bottom = min(top + params.tile_height, params.height);
    let column = max(left, ${D / 2}u) - ${D / 2}u + lane * ${COLUMNS}u;
    let first_row = max(top, ${D / 2}u) - ${D / 2}u;
    let end_row = min(bottom + ${D / 2}u, params.height);
#for c in 0..COLUMNS
    let x${c} = min(column + ${c}u, params.width - 1u);
    let inside${c} = column + ${c}u < params.width;
    let mine${c} = column + ${c}u >= left && column + ${c}u < right;
#endfor

    // The filters.
#for k in 0..(BLOCKS * D * D + LANES - 1) / LANES
    let f${k} = unpack(weight[params.cheap_offset + min(block * ${D * D}u + ${k * LANES}u + lane, params.blocks_primary * ${D * D}u - 1u)]);
#endfor
#for b in 0..BLOCKS
#for t in 0..D * D
    let c${t}_${b} = subgroupBroadcast(f${(b * D * D + t) / LANES}, ${(b * D * D + t) % LANES}u);
#endfor
    let bias${b} = bias[block + ${b}u];
    let cheap_bias${b} = bias[params.cheap_bias_offset + min(block + ${b}u, params.blocks_primary - 1u)];
#if SUMS
    var intrinsic_sum${b} = vec4<f32>(0.0);
    var ghost_sum${b} = vec4<f32>(0.0);
#endif
#for r in 0..D - 1
#for c in 0..COLUMNS
    var m${r}_${c}_${b} = vec4<f32>(0.0);
#endfor
#endfor
#endfor

    let input_base = params.input_offset + n * params.input_stride;
    let output_base = params.output_offset + n * params.output_stride;
    let ghost_base = output_base + params.blocks_primary * pixels;
#if RESIDUAL
    let residual_base = params.residual_offset + n * params.residual_stride;
    let ghost_residual = residual_base + params.blocks_primary * pixels;
#endif
    var y = first_row;
    for (; y < end_row; y += ${ROWS}u) {
#for r in 0..ROWS
#for c in 0..COLUMNS
        var at${r * COLUMNS + c} = input_base + min(y + ${r}u, params.height - 1u) * params.width + x${c};
#for b in 0..BLOCKS
        var a${r * COLUMNS + c}_${b} = bias${b};
#endfor
#endfor
#endfor
#import sum_over_input
#for r in 0..ROWS
#for c in 0..COLUMNS
#for b in 0..BLOCKS
#if ROWS > 1 || RAGGED
        let m${r + D - 1}_${c}_${b} = select(vec4<f32>(0.0), activate${ACTIVATION}(a${r * COLUMNS + c}_${b}), inside${c} && y + ${r}u < params.height);
#else
        let m${r + D - 1}_${c}_${b} = activate${ACTIVATION}(a${r * COLUMNS + c}_${b});
#endif
#endfor
#endfor
#endfor
#for made in ROWS..ROWS + 1
#import cheap_rows
#endfor
#for r in 0..D - 1
#for c in 0..COLUMNS
#for b in 0..BLOCKS
        m${r}_${c}_${b} = m${r + ROWS}_${c}_${b};
#endfor
#endfor
#endfor
    }
    // The rows that lack what is below the map.
#for r in D - 1..D - 1 + D / 2
#for c in 0..COLUMNS
#for b in 0..BLOCKS
    let m${r}_${c}_${b} = vec4<f32>(0.0);
#endfor
#endfor
#endfor
#for made in D / 2..D / 2 + 1
#import cheap_rows
#endfor
#if SUMS
#for b in 0..BLOCKS
    let intrinsic_total${b} = subgroupAdd(intrinsic_sum${b});
    let ghost_total${b} = subgroupAdd(ghost_sum${b});
    if lane == 0u && block + ${b}u < params.blocks_primary {
        let to = (n * tiles + tile) * params.blocks_primary * 2u + block + ${b}u;
        sums[to] = intrinsic_total${b};
        sums[to + params.blocks_primary] = ghost_total${b};
    }
#endfor
#endif
}
