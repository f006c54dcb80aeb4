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
#if LANES == 4
            // A vector times a matrix: see `weight_matrix`.
#for k in 0..4
            let r${k} = unpack(weight_at(w + ${k}u));
#endfor
            total += x * mat4x4<f32>(
#for k in 0..4
                vec4<f32>(r0[${k}], r1[${k}], r2[${k}], r3[${k}]),
#endfor
            );
#else
#import multiply_rows
#endif
        }
#endfor
