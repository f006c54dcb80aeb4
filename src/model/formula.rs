//! Weights made by a formula of their names, for timing and tests: the same numbers on every
//! machine and in `tools/golden.py`.

/// Keeps activations of a GhostNet without training near the size of its input. See
/// `tools/golden.py`.
pub(crate) const GAIN: f64 = 3.0;

/// FNV-1a of the name, the seed of its numbers.
fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3))
}

/// `count` numbers of a name in [0, 1), multiples of 2^-24: the high bits of splitmix64 (Steele,
/// Lea and Flood, OOPSLA 2014).
fn uniform(name: &str, seed: u64, count: usize) -> impl Iterator<Item = f32> {
    let start = fnv1a(name).wrapping_add(seed);
    (1..=count as u64).map(move |i| {
        let mut z = start.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 40) as f32 / 16_777_216.0
    })
}

/// The values of a tensor, by the last part of its name: filters uniform and scaled by fan-in,
/// BatchNorm near one, `input` in -3 .. 3.
pub fn values(name: &str, seed: u64, shape: &[usize]) -> Vec<f32> {
    values_of(name, seed, shape, GAIN)
}

/// The same, with filters of another gain.
pub(crate) fn values_of(name: &str, seed: u64, shape: &[usize], gain: f64) -> Vec<f32> {
    // Each is (u + by) * factor, where the sum is exact.
    let (by, factor) = match name.rsplit('.').next() {
        Some("input") => (-0.5, 6.0),
        Some("weight") if shape.len() > 1 => {
            let bound = (gain / shape[1..].iter().product::<usize>() as f64).sqrt() as f32;
            (-0.5, 2.0 * bound)
        }
        Some("weight" | "running_var") => (0.5, 1.0),
        _ => (-0.5, 0.2),
    };
    uniform(name, seed, shape.iter().product()).map(|u| (u + by) * factor).collect()
}
