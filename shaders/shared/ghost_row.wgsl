// The ghosts z{c} of the middle one of the rows m{row}_{column}, and with SUMS what of both maps is on the tile (on{c}).
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
