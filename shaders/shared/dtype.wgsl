// Element type of stored activations and weights. A block is four channels of one pixel (or four lanes of a weight row).
// F16 stores halves with core WGSL (no device feature) and computes in f32.
#if F16
alias Stored = vec2<u32>;
fn unpack(s: Stored) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(s.x), unpack2x16float(s.y));
}
fn pack(v: vec4<f32>) -> Stored {
    return vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw));
}
#else
alias Stored = vec4<f32>;
fn unpack(s: Stored) -> vec4<f32> {
    return s;
}
fn pack(v: vec4<f32>) -> Stored {
    return v;
}
#endif
