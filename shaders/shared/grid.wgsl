// A dispatch is one-dimensional in meaning. The host folds it into x and y past 65535 workgroups,
// WebGPU's default limit.
fn workgroup_index(id: vec3<u32>, count: vec3<u32>) -> u32 {
    return id.x + id.y * count.x;
}
