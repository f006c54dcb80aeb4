// Element type of stored activations and weights. A block is four channels of one pixel (or four lanes of a weight row).
// F16 stores halves with core WGSL (no device feature) and computes in f32. What halves cannot hold is stored as the largest that they
// can: pack2x16float of more is indeterminate, and one infinity would make every value that it reaches NaN.
// A tap outside the map is chosen to be zero before it is unpacked: that is fewer words, and what multiplies it can unpack on the way.
#if F16
alias Stored = vec2<u32>;
fn unpack(s: Stored) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(s.x), unpack2x16float(s.y));
}
fn pack(v: vec4<f32>) -> Stored {
    let held = clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0));
    return vec2<u32>(pack2x16float(held.xy), pack2x16float(held.zw));
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
