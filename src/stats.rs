//! Statistics of repeated measurements.

/// The values, smallest first.
fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
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
    }
}
