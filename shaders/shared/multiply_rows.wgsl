// Adds to `total` the four rows of weights from row `w` on, times the four lanes of `x`. With WIDE `weight` is of pairs of rows.
#if WIDE
#import multiply_pairs
#else
        total = fma(vec4<f32>(x.x), unpack(weight_at(w)), total);
        total = fma(vec4<f32>(x.y), unpack(weight_at(w + 1u)), total);
        total = fma(vec4<f32>(x.z), unpack(weight_at(w + 2u)), total);
        total = fma(vec4<f32>(x.w), unpack(weight_at(w + 3u)), total);
#endif
