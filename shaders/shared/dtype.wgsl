// The element type of stored activations and weights. A block is four channels of one pixel, or
// four lanes of a weight row.
//
// F16 0: f32.
// F16 1: halves are stored, and arithmetic is f32. That is core WGSL, and needs no device feature.
// F16 2: a convolution's products are of halves too (`shader-f16`), of blocks of `Factor`.
//
// What halves cannot hold is stored as the largest that they can. A conversion of more is
// indeterminate, and one infinity would make every value that it reaches NaN.
// A few products of halves are added up as halves, and these sums as f32, times params.unscale (its
// bits). Weights are stored times its inverse, with which no such sum overflows: `Products` in
// src/plan/products.rs.
// A tap outside the map is chosen to be zero before it is unpacked. That is fewer words, and what
// multiplies it can unpack on the way.
#if F16 == 2
enable f16;
alias Stored = vec4<f16>;
alias Factor = vec4<f16>;
fn unpack(s: Stored) -> vec4<f32> {
    return vec4<f32>(s);
}
fn pack(v: vec4<f32>) -> Stored {
    return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
fn factor(s: Stored) -> Factor {
    return s;
}
fn to_factor(v: vec4<f32>) -> Factor {
    return pack(v);
}
#else
#if F16 == 1
alias Stored = vec2<u32>;
fn unpack(s: Stored) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(s.x), unpack2x16float(s.y));
}
fn pack(v: vec4<f32>) -> Stored {
    let bounded = clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0));
    return vec2<u32>(pack2x16float(bounded.xy), pack2x16float(bounded.zw));
}
#endif
#if !F16
alias Stored = vec4<f32>;
fn unpack(s: Stored) -> vec4<f32> {
    return s;
}
fn pack(v: vec4<f32>) -> Stored {
    return v;
}
#endif
alias Factor = vec4<f32>;
fn factor(s: Stored) -> Factor {
    return unpack(s);
}
fn to_factor(v: vec4<f32>) -> Factor {
    return v;
}
#endif
