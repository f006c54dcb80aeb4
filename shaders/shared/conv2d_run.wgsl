// The sums of `conv2d` for PIXELS neighbours, LANES 4: pasted into its `main`. Each column is loaded once for a row of the kernel.
    let runs = (params.width_out + ${PIXELS - 1}u) / ${PIXELS}u;
    let run = pixel_tile * WG + lane;
    let y = run / runs;
    let x = (run % runs) * ${PIXELS}u;
#for p in 0..PIXELS
    let pixel${p} = y * params.width_out + x + ${p}u;
    let on${p} = (x + ${p}u < params.width_out) & (pixel${p} < params.pixels_out);
#for b in 0..BLOCKS
    var a${p}_${b} = bias[block + ${b}u];
#endfor
#endfor
#import run_columns
    var turn = channel_tile * params.blocks_window * params.kernel_y;
    for (var i = 0u; i < params.blocks_window; i++) {
        for (var ky = 0u; ky < kernel_y; ky++) {
            let iy = y * params.stride_y + ky * params.dilation_y - params.pad_y;
            let row_on = iy < params.height_in;
            let row = plane + select(0u, iy, row_on) * params.width_in;
#for column in 0..(PIXELS - 1) * STRIDE_X + KW
#if DEPTH == 3 && !F16
            // Value by value: of a whole block the driver would load all four.
            let at${column} = row + column${column};
            let v${column} = select(vec3<f32>(0.0), vec3<f32>(input[at${column}].x, input[at${column}].y, input[at${column}].z), row_on & column_on${column});
#else
            let v${column} = unpack(select(Stored(), input[row + column${column}], row_on & column_on${column}));
#endif
#endfor
#import weight_rows
#for u in 0..KW
#for b in 0..BLOCKS
#for j in 0..4
#if j < 3 || DEPTH != 3 || F16
            let w${u}_${b}_${j} = quadBroadcast(rows${u * BLOCKS + b}, ${j}u);
#endif
#endfor
#if DEPTH == 3 && !F16
            let m${u}_${b} = mat4x3<f32>(
#for j in 0..4
                vec3<f32>(w${u}_${b}_0[${j}], w${u}_${b}_1[${j}], w${u}_${b}_2[${j}]),
#endfor
            );
#else
#import weight_matrix
#endif
#for p in 0..PIXELS
            a${p}_${b} += v${p * STRIDE_X + u} * m${u}_${b};
#endfor
#endfor
#endfor
            turn++;
        }
        plane += pixels_in;
    }
