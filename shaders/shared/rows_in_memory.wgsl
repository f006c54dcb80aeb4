// The tile of `ghost_rows` through workgroup memory: pasted into its `main`. First the intrinsic maps of all rows, then, block by block and
// down the rows, the ghosts; the code of one pixel serves all.
    for (var y = first_row; y < end_row; y += ${ROWS}u) {
#import primary_rows
        for (var b = 0u; b < opaque(${BLOCKS}u, group); b++) {
#import block_values
#for r in 0..ROWS
#for c in 0..COLUMNS
            maps[(b * ${MEMORY_ROWS}u + ${r}u + y - first_row) * ${COLUMNS * LANES}u + ${c * LANES}u + lane] =
                hold(select(vec4<f32>(0.0), primary_activation(value${r * COLUMNS + c}), inside${c} & (y + ${r}u < params.height)));
#endfor
#endfor
        }
    }
    let end_block = min(${BLOCKS}u, params.blocks_primary - block);
    for (var b = 0u; b < end_block; b++) {
#import ghost_filters
        // Columns of the rows about the one that is made, from the left neighbour's last to the right neighbour's first.
#for r in 0..D
#for c in 0..COLUMNS + D - 1
        var m${r}_${c} = vec4<f32>(0.0);
#endfor
#endfor
        for (var next = first_row; next < bottom + ${D / 2}u; next++) {
#for r in 0..D - 1
#for c in 0..COLUMNS + D - 1
            m${r}_${c} = m${r + 1}_${c};
#endfor
#endfor
            let cell = (b * ${MEMORY_ROWS}u + min(next, params.height - 1u) - first_row) * ${COLUMNS * LANES}u + lane;
#for c in 0..COLUMNS
            m${D - 1}_${c + D / 2} = select(vec4<f32>(0.0), held(maps[cell + ${c * LANES}u]), next < params.height);
#endfor
#for k in 0..D / 2
            m${D - 1}_${k} = select(subgroupShuffleUp(m${D - 1}_${COLUMNS + k}, 1u), vec4<f32>(0.0), lane == 0u);
            m${D - 1}_${COLUMNS + D / 2 + k} = select(subgroupShuffleDown(m${D - 1}_${D / 2 + k}, 1u), vec4<f32>(0.0), lane == ${LANES - 1}u);
#endfor
            let row = next - ${D / 2}u;
            let here = (row >= top) & (row < bottom);
            let at = (block + b) * pixels + row * params.width + column;
#for c in 0..COLUMNS
            let on${c} = here & mine${c};
            var kept${c} = m${D / 2}_${c + D / 2};
#endfor
#import ghost_row
#if RESIDUAL
#if RESIDUAL == 2
            for (var k = 0u; k < residuals; k++) {
#endif
                let plane = (block + b) * pixels + min(row, params.height - 1u) * params.width;
#for c in 0..COLUMNS
                kept${c} += unpack(residual[residual_base + plane + x${c}]);
                z${c} += unpack(residual[ghost_residual + plane + x${c}]);
#endfor
#if RESIDUAL == 2
            }
#endif
#endif
#for c in 0..COLUMNS
            if on${c} {
                output[output_base + at + ${c}u] = pack(kept${c});
                output[ghost_base + at + ${c}u] = pack(z${c});
            }
#endfor
        }
#import ghost_sums
    }
