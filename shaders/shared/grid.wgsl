// A dispatch is one-dimensional in meaning; the host folds it into x and y past 65535 workgroups, the default limit.
fn workgroup_index(id: vec3<u32>, count: vec3<u32>) -> u32 {
    return id.x + id.y * count.x;
}
// `value`, which the driver cannot know when it compiles. lavapipe puts the numbers of a dispatch's uniform buffer into loops that end at them;
// where it can then unroll one, it compiles the kernel again for every dispatch.
fn opaque(value: u32, group: vec3<u32>) -> u32 {
    return min(value, value + group.x);
}
