// The strip of `depthwise`: pasted into its `main`. Each row of the input is loaded once: the STRIDE_Y rows with which the sums of output row y end add
// also what they give to the LIVE - 1 rows below, whose sums a{k}_{pixel} are under way.
    let unit = index * WG + lane;
    let tile = unit % params.tiles;
    let block = (unit / params.tiles) % params.blocks_out;
    let n = unit / (params.tiles * params.blocks_out);
    if n >= params.images {
        return;
    }
    let runs = (params.width_out + ${PIXELS - 1}u) / ${PIXELS}u;
    let x = (tile % runs) * ${PIXELS}u;
    let top = (tile / runs) * params.strip;
    let bottom = min(top + params.strip, params.height_out);
    let input_base = params.input_offset + n * params.input_stride + (block % params.blocks_in) * params.width_in * params.height_in;
    let output_base = params.output_offset + n * params.output_stride + block * params.height_out * params.width_out + x;
    let bias_of = bias[block];
#for t in 0..KH * KW
    let w${t} = unpack(weight_at(block * ${KH * KW}u + ${t}u));
#endfor
#import run_columns
#for k in 0..LIVE
#for p in 0..PIXELS
    var a${k}_${p} = bias_of;
#endfor
#endfor
#if SUMS
    var sum = vec4<f32>(0.0);
#endif
    // The rows above the strip only begin sums. Above the map there are none.
    let begin = select(0u, ${LIVE - 1}u - (${KH - 1}u - min(params.pad_y, ${KH - 1}u)) / ${STRIDE_Y}u, top == 0u);
    for (var turn = begin; turn < bottom - top + ${LIVE - 1}u; turn++) {
        let y = top + turn - ${LIVE - 1}u;
#for t in 0..STRIDE_Y
        let iy${t} = y * ${STRIDE_Y}u + ${KH - STRIDE_Y + t}u - params.pad_y;
        let row_on${t} = iy${t} < params.height_in;
        let row_at${t} = input_base + select(0u, iy${t}, row_on${t}) * params.width_in;
#for column in 0..(PIXELS - 1) * STRIDE_X + KW
        let v${t}_${column} = unpack(select(Stored(), load(row_at${t} + column${column}), row_on${t} & column_on${column}));
#for p in 0..PIXELS
#if column >= p * STRIDE_X && column - p * STRIDE_X < KW
#for k in 0..LIVE
#if KH - STRIDE_Y + t >= k * STRIDE_Y
        a${k}_${p} = fma(v${t}_${column}, w${(KH - STRIDE_Y + t - k * STRIDE_Y) * KW + column - p * STRIDE_X}, a${k}_${p});
#endif
#endfor
#endif
#endfor
#endfor
#endfor
        if turn >= ${LIVE - 1}u {
            let to = output_base + y * params.width_out;
#for p in 0..PIXELS
#if RAGGED
            if x + ${p}u < params.width_out {
#else
            {
#endif
                let z = activate${ACTIVATION}(a0_${p});
                output[to + ${p}u] = pack(z);
#if SUMS
                sum += z;
#endif
            }
#endfor
        }
#for p in 0..PIXELS
#for k in 0..LIVE - 1
        a${k}_${p} = a${k + 1}_${p};
#endfor
        a${LIVE - 1}_${p} = bias_of;
#endfor
    }
#if SUMS
    sums[(n * params.tiles + tile) * params.blocks_out + block] = sum;
#endif
