#for b in 0..BLOCKS
        {
#for r in 0..made + D - 1
#for k in 0..D / 2
            let l${r}_${k} = select(subgroupShuffleUp(m${r}_${COLUMNS - 1 - k}_${b}, 1u), vec4<f32>(0.0), lane == 0u);
            let r${r}_${k} = select(subgroupShuffleDown(m${r}_${k}_${b}, 1u), vec4<f32>(0.0), lane == ${LANES - 1}u);
#endfor
#endfor
#for r in 0..made
            {
                let row = y + ${r}u - ${D / 2}u;
                let at = (block + ${b}u) * pixels + row * params.width + column;
#for c in 0..COLUMNS
                let intrinsic${c} = m${r + D / 2}_${c}_${b};
                var z${c} = cheap_bias${b};
#for ky in 0..D
#for kx in 0..D
#if c + kx < D / 2
                z${c} = fma(l${r + ky}_${D / 2 - c - kx - 1}, c${ky * D + kx}_${b}, z${c});
#endif
#if c + kx >= D / 2 && c + kx - D / 2 < COLUMNS
                z${c} = fma(m${r + ky}_${c + kx - D / 2}_${b}, c${ky * D + kx}_${b}, z${c});
#endif
#if c + kx - D / 2 >= COLUMNS
                z${c} = fma(r${r + ky}_${c + kx - D / 2 - COLUMNS}, c${ky * D + kx}_${b}, z${c});
#endif
#endfor
#endfor
                z${c} = activate${CHEAP_ACTIVATION}(z${c});
#endfor
                let here = row >= top && row < bottom && block + ${b}u < params.blocks_primary;
#if !RAGGED
                if here {
#endif
#for c in 0..COLUMNS
#if RAGGED
                if here && mine${c} {
#endif
#if RESIDUAL
                    output[output_base + at + ${c}u] = pack(intrinsic${c} + unpack(residual[residual_base + at + ${c}u]));
                    output[ghost_base + at + ${c}u] = pack(z${c} + unpack(residual[ghost_residual + at + ${c}u]));
#else
                    output[output_base + at + ${c}u] = pack(intrinsic${c});
                    output[ghost_base + at + ${c}u] = pack(z${c});
#endif
#if SUMS
                    intrinsic_sum${b} += intrinsic${c};
                    ghost_sum${b} += z${c};
#endif
#if RAGGED
                }
#endif
#endfor
#if !RAGGED
                }
#endif
            }
#endfor
        }
#endfor
