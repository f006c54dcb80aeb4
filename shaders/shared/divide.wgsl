// a / b, rounded down, for a < 2^21. It is exact: (a + 0.5) / b is at least 0.5 / b away from every
// integer, and WGSL divides to 2.5 ULP. A division of integers is some 25 instructions on GPUs.
fn divide(a: u32, b: u32) -> u32 {
    return u32((f32(a) + 0.5) / f32(b));
}
