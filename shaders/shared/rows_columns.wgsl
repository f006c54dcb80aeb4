// Columns of an invocation of `ghost_rows` from `column` on: where to read, and whether they are on the map and on the tile.
#for c in 0..COLUMNS
        let x${c} = min(column + ${c}u, params.width - 1u);
        let inside${c} = column + ${c}u < params.width;
#if !ROUTE
        let mine${c} = (column + ${c}u >= left) & (column + ${c}u < right);
#endif
#endfor
