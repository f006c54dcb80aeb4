// The sum over input blocks of `pointwise` and `ghost`, pasted into `main`. There are, for PIXELS
// pixels p and BLOCKS output blocks b, at{p}, the index of the pixel in the first input block, and
// the accumulator a{p}_{b}; and `channel_tile`, `n` and `pixels`.
// Where F16 is 2, s{u / 2}_{p}_{b} adds up the products of two input blocks as halves; dtype.wgsl
// says more.
// SCATTERED: `block_of` says which block of the input each input block is.
    // Weight rows are numbered turn * constant + constant. Of these, compilers for GPUs make loads
    // with immediate offsets, where a running offset would take an addition for each row.
#if F16 == 2
    let unscale = vec4<f32>(bitcast<f32>(params.unscale));
#endif
    var turn = channel_tile * ((params.blocks_in + 3u) / 4u) * ${4 / UNROLL}u;
#if UNROLL > 1 && SCATTERED == 0
    // From the pixels of input block i to those of the last.
    var to_last = (params.blocks_in - 1u) * pixels;
#endif
    for (var i = 0u; i < params.blocks_in; i += ${UNROLL}u) {
#for u in 0..UNROLL
#if u == 0
        let i0 = i;
#if SCATTERED == 0
        let step0 = 0u;
#endif
#else
        // Past the last input block the weights are zero; reading that block again keeps the index
        // inside.
        let i${u} = min(i + ${u}u, params.blocks_in - 1u);
#if SCATTERED == 0
        let step${u} = min(${u}u * pixels, to_last);
#endif
#endif
#if SCATTERED
        let step${u} = block_of(i${u}) * pixels;
#endif
#if GATE
        let g${u} = Factor(gate[n * params.blocks_in + i${u}]);
#endif
#for p in 0..PIXELS
#if GATE
        let v${u}_${p} = factor(input[at${p} + step${u}]) * g${u};
#else
        let v${u}_${p} = factor(input[at${p} + step${u}]);
#endif
#endfor
#endfor
#for u in 0..UNROLL
#for b in 0..BLOCKS
#for j in 0..4
        let w${u}_${b}_${j} = factor(weight[turn * ${UNROLL * BLOCKS * 4}u + ${(u * BLOCKS + b) * 4 + j}u]);
#endfor
#for p in 0..PIXELS
#if F16 == 2
#if u % 2 == 0
        var s${u / 2}_${p}_${b} = v${u}_${p}.x * w${u}_${b}_0;
#else
        s${u / 2}_${p}_${b} = fma(Factor(v${u}_${p}.x), w${u}_${b}_0, s${u / 2}_${p}_${b});
#endif
        s${u / 2}_${p}_${b} = fma(Factor(v${u}_${p}.y), w${u}_${b}_1, s${u / 2}_${p}_${b});
        s${u / 2}_${p}_${b} = fma(Factor(v${u}_${p}.z), w${u}_${b}_2, s${u / 2}_${p}_${b});
        s${u / 2}_${p}_${b} = fma(Factor(v${u}_${p}.w), w${u}_${b}_3, s${u / 2}_${p}_${b});
#else
        a${p}_${b} = fma(vec4<f32>(v${u}_${p}.x), w${u}_${b}_0, a${p}_${b});
        a${p}_${b} = fma(vec4<f32>(v${u}_${p}.y), w${u}_${b}_1, a${p}_${b});
        a${p}_${b} = fma(vec4<f32>(v${u}_${p}.z), w${u}_${b}_2, a${p}_${b});
        a${p}_${b} = fma(vec4<f32>(v${u}_${p}.w), w${u}_${b}_3, a${p}_${b});
#endif
#endfor
#endfor
#endfor
#for p in 0..PIXELS
#if F16 == 2
#for k in 0..(UNROLL + 1) / 2
#for b in 0..BLOCKS
        a${p}_${b} = fma(vec4<f32>(s${k}_${p}_${b}), unscale, a${p}_${b});
#endfor
#endfor
#endif
#if SCATTERED == 0
        at${p} += ${UNROLL}u * pixels;
#endif
#endfor
#if UNROLL > 1 && SCATTERED == 0
        to_last -= ${UNROLL}u * pixels;
#endif
        turn++;
    }
