// The tile of `ghost_rows` through the output: pasted into its `main`. First the intrinsic maps, as `pointwise` makes them, into their place in the
// output, and the rows of the halo into places that ghosts take later; then, a block at a time (or, without PARTS, a few) and down the rows, the
// ghosts; the code of one pixel serves all.
    let blocks_in = opaque(params.blocks_in, group);
    let top_pixel = top * params.width;
    let bottom_pixel = bottom * params.width;
    let end_pixel = end_row * params.width;
    for (var start = first_row * params.width; start < end_pixel; start += ${PIXELS * LANES}u) {
#for p in 0..PIXELS
        var at${p} = input_base + min(start + ${p * LANES}u + lane, end_pixel - 1u);
#for b in 0..BLOCKS
        var a${p}_${b} = bias${b};
#endfor
#endfor
#import sum_over_input
        // What stores need, in front of their loop: inside it comparisons make SwiftShader compile for minutes, from some 25 pixels on.
#for p in 0..PIXELS
        let pixel${p} = start + ${p * LANES}u + lane;
        let ok${p} = pixel${p} < end_pixel;
        // A row of the halo goes to the tile's first or last row of ghosts.
        let half${p} = select(select(output_base, ghost_base + params.width, pixel${p} < top_pixel), ghost_base - params.width, pixel${p} >= bottom_pixel);
        let to${p} = half${p} + pixel${p};
#endfor
        for (var b = 0u; b < opaque(${BLOCKS}u, group); b++) {
#import block_values
            let plane = (block + b) * pixels;
            let inside = block + b < params.blocks_primary;
            if inside {
#for p in 0..PIXELS
                if ok${p} {
                    output[to${p} + plane] = pack(primary_activation(value${p}));
                }
#endfor
            }
        }
    }
    // The workgroup is one subgroup. By Vulkan's memory model this barrier orders no stores to buffers, but such drivers take a subgroup's invocations
    // through the program together, and it keeps its place there. A workgroup's barrier would make SwiftShader's code slow throughout.
    subgroupBarrier();
    let end_block = min(${BLOCKS}u, params.blocks_primary - block);
#if PARTS
    let parts = (params.width + ${COLUMNS * LANES - 1}u) / ${COLUMNS * LANES}u;
    let run = lane;
    let runs = ${LANES}u;
    for (var b = 0u; b < end_block; b++) {
#else
    // An invocation has a run of columns; as many blocks are made at a time as the subgroup has runs for, so that small maps leave none idle.
    let runs = (params.width + ${COLUMNS - 1}u) / ${COLUMNS}u;
    let together = ${LANES}u / runs;
    let run = lane % runs;
    let column = run * ${COLUMNS}u;
#import rows_columns
    for (var first = 0u; first < end_block; first += together) {
        let own = first + lane / runs;
        let has = (lane / runs < together) & (own < end_block);
        let b = min(own, end_block - 1u);
#endif
        let plane = (block + b) * pixels;
        // The filters c{t}, which the subgroup hands on where all of it has one block (that is with LANES 4).
        let cheap = params.cheap_offset + (block + b) * ${D * D}u;
#if PARTS
#for k in 0..(D * D + LANES - 1) / LANES
        let f${k} = unpack(weight_at(cheap + min(${k * LANES}u + lane, ${D * D - 1}u)));
#endfor
#for t in 0..D * D
        let c${t} = quadBroadcast(f${t / LANES}, ${t % LANES}u);
#endfor
#else
#for t in 0..D * D
        let c${t} = unpack(weight_at(cheap + ${t}u));
#endfor
#endif
        let cheap_bias = bias[params.cheap_bias_offset + block + b];
#if SUMS
        var intrinsic_sum = vec4<f32>(0.0);
        var ghost_sum = vec4<f32>(0.0);
#endif
#if PARTS
    for (var part = 0u; part < parts; part++) {
        let column = part * ${COLUMNS * LANES}u + lane * ${COLUMNS}u;
        let left_edge = (part + 1u) % 2u * ${PARTS}u;
        let right_edge = part % 2u * ${PARTS}u;
        let beside = (part + 1u) * ${COLUMNS * LANES}u;
        subgroupBarrier();
#import rows_columns
#endif
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
            let next_row = row_of_intrinsic(min(next, params.height - 1u), top, bottom, output_base, ghost_base) + plane;
#for c in 0..COLUMNS
#if RAGGED
            m${D - 1}_${c + D / 2} = select(vec4<f32>(0.0), unpack(output[next_row + x${c}]), inside${c} & (next < params.height));
#else
            m${D - 1}_${c + D / 2} = select(vec4<f32>(0.0), unpack(output[next_row + column + ${c}u]), next < params.height);
#endif
#endfor
#if PARTS
            let from_left = select(edge[left_edge + next - first_row], vec4<f32>(0.0), part == 0u);
            let from_right = select(
                vec4<f32>(0.0),
                unpack(output[next_row + min(beside, params.width - 1u)]),
                (beside < params.width) & (next < params.height),
            );
            if lane == ${LANES - 1}u {
                edge[right_edge + next - first_row] = m${D - 1}_${COLUMNS + D / 2 - 1};
            }
#else
            let from_left = vec4<f32>(0.0);
            let from_right = vec4<f32>(0.0);
#endif
#for k in 0..D / 2
            m${D - 1}_${k} = select(subgroupShuffleUp(m${D - 1}_${COLUMNS + k}, 1u), from_left, run == 0u);
            m${D - 1}_${COLUMNS + D / 2 + k} = select(subgroupShuffleDown(m${D - 1}_${D / 2 + k}, 1u), from_right, run == runs - 1u);
#endfor
            let row = next - ${D / 2}u;
#if PARTS
            let here = (row >= top) & (row < bottom);
#else
            let here = (row >= top) & (row < bottom) & has;
#endif
            let at = plane + row * params.width;
#for c in 0..COLUMNS
#if RAGGED
            let on${c} = here & inside${c};
#else
            let on${c} = here;
#endif
#endfor
            // The ghosts z{c} of the middle row.
#for c in 0..COLUMNS
#if LANES == 4
            // Lane by lane: see `weight_matrix`.
#for j in 0..4
            var z${c}_${j} = cheap_bias[${j}];
#for ky in 0..D
#for kx in 0..D
            z${c}_${j} = fma(m${ky}_${c + kx}[${j}], c${ky * D + kx}[${j}], z${c}_${j});
#endfor
#endfor
#endfor
            var z${c} = vec4<f32>(z${c}_0, z${c}_1, z${c}_2, z${c}_3);
#else
            var z${c} = cheap_bias;
#for ky in 0..D
#for kx in 0..D
            z${c} = fma(m${ky}_${c + kx}, c${ky * D + kx}, z${c});
#endfor
#endfor
#endif
            z${c} = cheap_activation(z${c});
#if SUMS
            intrinsic_sum += select(vec4<f32>(0.0), m${D / 2}_${c + D / 2}, on${c});
            ghost_sum += select(vec4<f32>(0.0), z${c}, on${c});
#endif
#endfor
            if here {
#if RESIDUAL
#if RESIDUAL == 2
                for (var k = 0u; k < residuals; k++) {
#endif
#for c in 0..COLUMNS
                z${c} += unpack(residual[ghost_residual + at + x${c}]);
                let kept${c} = m${D / 2}_${c + D / 2} + unpack(residual[residual_base + at + x${c}]);
#if RAGGED
                if inside${c} {
                    output[output_base + at + column + ${c}u] = pack(kept${c});
                }
#else
                output[output_base + at + column + ${c}u] = pack(kept${c});
#endif
#endfor
#if RESIDUAL == 2
                }
#endif
#endif
#for c in 0..COLUMNS
#if RAGGED
                if inside${c} {
                    output[ghost_base + at + column + ${c}u] = pack(z${c});
                }
#else
                output[ghost_base + at + column + ${c}u] = pack(z${c});
#endif
#endfor
            }
        }
#if PARTS
    }
#endif
#if SUMS
#if PARTS
        let intrinsic_total = subgroupAdd(intrinsic_sum);
        let ghost_total = subgroupAdd(ghost_sum);
        if lane == 0u {
#else
        // The first run of a block adds up all.
        var intrinsic_total = intrinsic_sum;
        var ghost_total = ghost_sum;
        for (var k = 1u; k < opaque(runs, group); k++) {
            intrinsic_total += subgroupShuffleDown(intrinsic_sum, k);
            ghost_total += subgroupShuffleDown(ghost_sum, k);
        }
        if has & (run == 0u) {
#endif
            let to = (n * tiles + tile) * params.blocks_primary * 2u + block + b;
            sums[to] = intrinsic_total;
            sums[to + params.blocks_primary] = ghost_total;
        }
#endif
    }
