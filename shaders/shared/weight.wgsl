// The weights' rows: blocks, in a buffer, or with WEIGHT_TEXTURE in a texture, 1024 in a row: on SwiftShader a load from a buffer is code for each lane and
// value, of a texture a call.
#if WEIGHT_TEXTURE
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
