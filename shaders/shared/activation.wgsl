// Activations by the numbers of `Activation` in src/graph/op.rs. The kind is uniform, so the branch is too.
fn activate(v: vec4<f32>, kind: u32) -> vec4<f32> {
    switch kind {
        case 1u: { return max(v, vec4<f32>(0.0)); }
        case 2u: { return clamp(v, vec4<f32>(0.0), vec4<f32>(6.0)); }
        case 3u: { return clamp(v + 3.0, vec4<f32>(0.0), vec4<f32>(6.0)) / 6.0; }
        case 4u: { return v * (clamp(v + 3.0, vec4<f32>(0.0), vec4<f32>(6.0)) / 6.0); }
        case 5u: { return 1.0 / (1.0 + exp(-v)); }
        case 6u: { return v / (1.0 + exp(-v)); }
        default: { return v; }
    }
}
