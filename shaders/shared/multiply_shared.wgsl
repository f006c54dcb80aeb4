// Adds to `total` the products of the LANES input blocks from `i` on, of `count`: each invocation has one in `values`, and hands it on. The weights of
// the first block begin at row `rows`, those of each other `step` rows further.
#for j in 0..LANES
        {
            let at = i + ${j}u;
#if LANES == 4
            let x = select(vec4<f32>(0.0), quadBroadcast(values, ${j}u), at < count);
#else
            let x = select(vec4<f32>(0.0), subgroupBroadcast(values, ${j}u), at < count);
#endif
            let w = rows + min(at, count - 1u) * step;
#import multiply_rows
        }
#endfor
