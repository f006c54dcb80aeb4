// Blocks of `dtype` as two words of 64 bits (one, of halves), for drivers that load and store lane by lane and word by word: `Held` and `Stored`.
// `StoredPair` is two blocks that are loaded at once.
alias Held = vec2<u64>;
fn hold(v: vec4<f32>) -> Held {
    let bits = bitcast<vec4<u32>>(v);
    return vec2<u64>(bits.xz) | (vec2<u64>(bits.yw) << vec2<u32>(32u));
}
fn held(h: Held) -> vec4<f32> {
    let low = vec2<u32>(h);
    let high = vec2<u32>(h >> vec2<u32>(32u));
    return bitcast<vec4<f32>>(vec4<u32>(low.x, high.x, low.y, high.y));
}
#if F16 == 1
alias Stored = u64;
alias StoredPair = vec2<u64>;
fn unpack(s: Stored) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(u32(s)), unpack2x16float(u32(s >> 32u)));
}
fn pack(v: vec4<f32>) -> Stored {
    let bounded = clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0));
    return u64(pack2x16float(bounded.xy)) | (u64(pack2x16float(bounded.zw)) << 32u);
}
fn first(pair: StoredPair) -> vec4<f32> {
    return unpack(pair.x);
}
fn second(pair: StoredPair) -> vec4<f32> {
    return unpack(pair.y);
}
#endif
#if !F16
alias StoredPair = vec4<u64>;
fn first(pair: StoredPair) -> vec4<f32> {
    return held(pair.xy);
}
fn second(pair: StoredPair) -> vec4<f32> {
    return held(pair.zw);
}
#endif
