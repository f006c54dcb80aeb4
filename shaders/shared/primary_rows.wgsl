// The primary convolution of `ghost_rows` on ROWS rows from y on, before its activation: a{r * COLUMNS + c}_{b}.
#for r in 0..ROWS
#for c in 0..COLUMNS
        var at${r * COLUMNS + c} = input_base + min(y + ${r}u, params.height - 1u) * params.width + x${c};
#for b in 0..BLOCKS
        var a${r * COLUMNS + c}_${b} = bias${b};
#endfor
#endfor
#endfor
        // Rows past the tile's last only let the ghosts above them be made.
        let blocks_in = select(opaque(params.blocks_in, group), 0u, y >= end_row);
#import sum_over_input
