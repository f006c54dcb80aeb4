// Activations by the numbers of `Activation` in src/graph/activation.rs. Kernels are composed for
// theirs, since a switch at run time would stand in the code once for each value of an invocation.
#for kind in 0..13
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
#if kind == 7
    // Some drivers' tanh is made of exponentials that overflow.
    return tanh(clamp(v, vec4<f32>(-16.0), vec4<f32>(16.0)));
#endif
#if kind == 8
    return exp(v);
#endif
#if kind == 9
    return sqrt(v);
#endif
#if kind == 10
    return abs(v);
#endif
#if kind == 11
    return erf(v);
#endif
#if kind == 12
    return 0.5 * v * (1.0 + erf(v * 0.70710678));
#endif
}
#endfor

// Abramowitz and Stegun, 7.1.26: off by at most 1.5e-7.
fn erf(v: vec4<f32>) -> vec4<f32> {
    let x = abs(v);
    let t = 1.0 / (1.0 + 0.3275911 * x);
    let p = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
    return sign(v) * (1.0 - p * exp(-x * x));
}

// Those with a parameter for each channel.
fn activate16(v: vec4<f32>, slope: vec4<f32>) -> vec4<f32> {
    return max(v, vec4<f32>(0.0)) + slope * min(v, vec4<f32>(0.0));
}

fn activate17(v: vec4<f32>, low: vec4<f32>) -> vec4<f32> {
    return clamp(round(v), low, low + 255.0);
}
