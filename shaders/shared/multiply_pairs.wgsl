// `multiply_rows` where `weight` is of pairs of rows: such drivers' loads are loops over lanes, whose turns cost as much as the words in them.
        let upper = weight[w / 2u];
        let lower = weight[w / 2u + 1u];
        total = fma(vec4<f32>(x.x), first(upper), total);
        total = fma(vec4<f32>(x.y), second(upper), total);
        total = fma(vec4<f32>(x.z), first(lower), total);
        total = fma(vec4<f32>(x.w), second(lower), total);
