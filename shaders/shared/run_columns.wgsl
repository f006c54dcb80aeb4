// The columns that PIXELS neighbours from `x` on need of the input: where to read, and whether they are on the map.
#for column in 0..(PIXELS - 1) * STRIDE_X + KW
    // Left of the map the subtraction wraps round and fails the comparison.
    let ix${column} = x * ${STRIDE_X}u + ${column}u - params.pad_x;
    let column_on${column} = ix${column} < params.width_in;
    let column${column} = select(0u, ix${column}, column_on${column});
#endfor
