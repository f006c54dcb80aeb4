// Sums SUMS_PER_LANE blocks over the invocations of a workgroup by halving. WG is a power of two.
// Workgroup memory: WG * SUMS_PER_LANE * 16 bytes.
var<workgroup> sums_of: array<vec4<f32>, ${WG * SUMS_PER_LANE}>;
fn reduce_sums(lane: u32) {
    for (var half = WG / 2u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if lane < half {
#for s in 0..SUMS_PER_LANE
            sums_of[${s}u * WG + lane] += sums_of[${s}u * WG + lane + half];
#endfor
        }
    }
    workgroupBarrier();
}
