// The weights' rows: blocks, in a buffer, or with TEXTURE in a texture, 1024 in a row, from which SwiftShader loads in half the time.
#if TEXTURE
@group(0) @binding(2) var weight: texture_2d<f32>;
fn weight_at(row: u32) -> Stored {
    return textureLoad(weight, vec2<u32>(row % 1024u, row / 1024u), 0);
}
#else
@group(0) @binding(2) var<storage, read> weight: array<Stored>;
fn weight_at(row: u32) -> Stored {
    return weight[row];
}
#endif
