// The tile of `ghost_rows` in registers: pasted into its `main`. Row r of m{r}_{c}_{b} is the intrinsic map D - 1 - r rows above the first that
// is made at a time; l and r are the columns of the invocations to the left and to the right.
#for k in 0..(BLOCKS * D * D + LANES - 1) / LANES
    let f${k} = unpack(weight_at(params.cheap_offset + min(block * ${D * D}u + ${k * LANES}u + lane, params.blocks_primary * ${D * D}u - 1u)));
#endfor
#for b in 0..BLOCKS
#for t in 0..D * D
    let c${t}_${b} = subgroupBroadcast(f${(b * D * D + t) / LANES}, ${(b * D * D + t) % LANES}u);
#endfor
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
    for (var y = first_row; y < bottom + ${D / 2}u; y += ${ROWS}u) {
        // The primary convolution on ROWS rows from y on, before its activation: a{r * COLUMNS + c}_{b}.
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
#for r in 0..ROWS
        let row_inside${r} = y + ${r}u < params.height;
        let row${r} = y + ${r}u - ${D / 2}u;
        let here${r} = (row${r} >= top) & (row${r} < bottom);
#endfor
#for b in 0..BLOCKS
#for r in 0..ROWS
#for c in 0..COLUMNS
#if RAGGED
        let m${r + D - 1}_${c}_${b} = select(vec4<f32>(0.0), primary_activation(a${r * COLUMNS + c}_${b}), inside${c} & row_inside${r});
#else
        let m${r + D - 1}_${c}_${b} = select(vec4<f32>(0.0), primary_activation(a${r * COLUMNS + c}_${b}), row_inside${r});
#endif
#endfor
#endfor
#for r in 0..ROWS + D - 1
#for k in 0..D / 2
        let l${r}_${k}_${b} = select(subgroupShuffleUp(m${r}_${COLUMNS - 1 - k}_${b}, 1u), vec4<f32>(0.0), lane == 0u);
        let r${r}_${k}_${b} = select(subgroupShuffleDown(m${r}_${k}_${b}, 1u), vec4<f32>(0.0), lane == ${LANES - 1}u);
#endfor
#endfor
#for r in 0..ROWS
#for c in 0..COLUMNS
        var z${r}_${c}_${b} = cheap_bias${b};
#for ky in 0..D
#for kx in 0..D
#if c + kx < D / 2
        z${r}_${c}_${b} = fma(l${r + ky}_${D / 2 - c - kx - 1}_${b}, c${ky * D + kx}_${b}, z${r}_${c}_${b});
#endif
#if c + kx >= D / 2 && c + kx - D / 2 < COLUMNS
        z${r}_${c}_${b} = fma(m${r + ky}_${c + kx - D / 2}_${b}, c${ky * D + kx}_${b}, z${r}_${c}_${b});
#endif
#if c + kx - D / 2 >= COLUMNS
        z${r}_${c}_${b} = fma(r${r + ky}_${c + kx - D / 2 - COLUMNS}_${b}, c${ky * D + kx}_${b}, z${r}_${c}_${b});
#endif
#endfor
#endfor
        z${r}_${c}_${b} = cheap_activation(z${r}_${c}_${b});
#if SUMS
        intrinsic_sum${b} += select(vec4<f32>(0.0), m${r + D / 2}_${c}_${b}, here${r} & mine${c});
        ghost_sum${b} += select(vec4<f32>(0.0), z${r}_${c}_${b}, here${r} & mine${c});
#endif
#endfor
#endfor
#endfor
        // Each block of both halves in turn, by the same code: drivers take long for every store that they compile.
        for (var part = 0u; part < opaque(${2 * BLOCKS}u, group); part++) {
            let b = part % ${BLOCKS}u;
            let plane = (min(block + b, params.blocks_primary - 1u) + select(0u, params.blocks_primary, part >= ${BLOCKS}u)) * pixels;
#for r in 0..ROWS
#for c in 0..COLUMNS
            var value${r}_${c} = m${r + D / 2}_${c}_0;
#for b in 1..BLOCKS
            value${r}_${c} = select(value${r}_${c}, m${r + D / 2}_${c}_${b}, part == ${b}u);
#endfor
#for b in 0..BLOCKS
            value${r}_${c} = select(value${r}_${c}, z${r}_${c}_${b}, part == ${BLOCKS + b}u);
#endfor
#endfor
#endfor
#if RESIDUAL
#if RESIDUAL == 2
            for (var k = 0u; k < residuals; k++) {
#endif
#for r in 0..ROWS
                let from${r} = residual_base + plane + min(row${r}, params.height - 1u) * params.width;
#for c in 0..COLUMNS
                value${r}_${c} += unpack(residual[from${r} + x${c}]);
#endfor
#endfor
#if RESIDUAL == 2
            }
#endif
#endif
#for r in 0..ROWS
            let to${r} = output_base + plane + row${r} * params.width + column;
#for c in 0..COLUMNS
#if RAGGED
            if here${r} & mine${c} & (block + b < params.blocks_primary) {
#else
            if here${r} & (block + b < params.blocks_primary) {
#endif
                output[to${r} + ${c}u] = pack(value${r}_${c});
            }
#endfor
#endfor
        }
#for r in 0..D - 1
#for c in 0..COLUMNS
#for b in 0..BLOCKS
        m${r}_${c}_${b} = m${r + ROWS}_${c}_${b};
#endfor
#endfor
#endfor
    }
#if SUMS
    for (var part = 0u; part < opaque(${2 * BLOCKS}u, group); part++) {
        let b = part % ${BLOCKS}u;
        var sum = intrinsic_sum0;
#for b in 1..BLOCKS
        sum = select(sum, intrinsic_sum${b}, part == ${b}u);
#endfor
#for b in 0..BLOCKS
        sum = select(sum, ghost_sum${b}, part == ${BLOCKS + b}u);
#endfor
        let total = subgroupAdd(sum);
        if lane == 0u && block + b < params.blocks_primary {
            let half = select(0u, params.blocks_primary, part >= ${BLOCKS}u);
            sums[(n * tiles + tile) * params.blocks_primary * 2u + half + block + b] = total;
        }
    }
#endif
