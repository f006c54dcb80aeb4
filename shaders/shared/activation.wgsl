// Activations by the numbers of `Activation` in src/graph/op.rs. Kernels are composed for theirs,
// since a switch at run time would stand in the code once for each value of an invocation.
#for kind in 0..7
fn activate${kind}(v: vec4<f32>) -> vec4<f32> {
#if kind == 0
    return v;
#endif
#if kind == 1
    return max(v, vec4<f32>(0.0));
#endif
#if kind == 2
    return clamp(v, vec4<f32>(0.0), vec4<f32>(6.0));
#endif
#if kind == 3
    return clamp(v + 3.0, vec4<f32>(0.0), vec4<f32>(6.0)) / 6.0;
#endif
#if kind == 4
    return v * (clamp(v + 3.0, vec4<f32>(0.0), vec4<f32>(6.0)) / 6.0);
#endif
#if kind == 5
    return 1.0 / (1.0 + exp(-v));
#endif
#if kind == 6
    return v / (1.0 + exp(-v));
#endif
}
#endfor
