// The filters c{t} of block `block + b` of `ghost_rows`, which the subgroup hands on where it has one block, their bias, and with SUMS what adds up.
        let cheap = params.cheap_offset + (block + b) * ${D * D}u;
#if ROUTE == 1
#for t in 0..D * D
        let c${t} = unpack(weight_at(cheap + ${t}u));
#endfor
#else
#for k in 0..(D * D + LANES - 1) / LANES
        let f${k} = unpack(weight_at(cheap + min(${k * LANES}u + lane, ${D * D - 1}u)));
#endfor
#for t in 0..D * D
#if LANES == 4
        let c${t} = quadBroadcast(f${t / LANES}, ${t % LANES}u);
#else
        let c${t} = subgroupBroadcast(f${t / LANES}, ${t % LANES}u);
#endif
#endfor
#endif
        let cheap_bias = bias[params.cheap_bias_offset + block + b];
#if SUMS
        var intrinsic_sum = vec4<f32>(0.0);
        var ghost_sum = vec4<f32>(0.0);
#endif
