//! Statistics of repeated measurements.

use std::collections::BinaryHeap;

/// The values, smallest first. A heap sorts them, for that is a tenth of the standard sort's size in the browser package.
fn sorted(values: Vec<f64>) -> Vec<f64> {
    // Integers in the order of `f64::total_cmp`; its own reverse.
    let key = |bits: i64| bits ^ ((bits >> 63) as u64 >> 1) as i64;
    let heap: BinaryHeap<i64> = values.into_iter().map(|value| key(value.to_bits() as i64)).collect();
    heap.into_sorted_vec().into_iter().map(|bits| f64::from_bits(key(bits) as u64)).collect()
}

/// The middle value (the mean of the middle two); 0 of none.
pub fn median(values: Vec<f64>) -> f64 {
    let values = sorted(values);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

/// The smallest value that at least `percent` percent of the values do not exceed; 0 of none.
pub fn percentile(values: Vec<f64>, percent: usize) -> f64 {
    let values = sorted(values);
    let rank = (values.len() * percent.min(100)).div_ceil(100).max(1);
    values.get(rank - 1).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_by_rank() {
        let values: Vec<f64> = (1..=30).rev().map(f64::from).collect();
        assert_eq!([0, 10, 50, 90, 100].map(|p| percentile(values.clone(), p)), [1.0, 3.0, 15.0, 27.0, 30.0]);
        assert_eq!([percentile(vec![7.0], 90), percentile(vec![], 90), median(vec![]), median(vec![1.0, 4.0])], [7.0, 0.0, 0.0, 2.5]);
        let signs = vec![0.5, f64::NEG_INFINITY, -0.0, 1e300, -2.0, 0.0, -1e-300, f64::INFINITY];
        let mut usual = signs.clone();
        usual.sort_by(f64::total_cmp);
        assert_eq!(sorted(signs).iter().map(|v| v.to_bits()).collect::<Vec<_>>(), usual.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
    }
}
