//! Little things with texts, which the standard library does too, at length.

/// What stands before and after the first `mark`: the standard library's search is 1.3 KB of the browser package.
pub(crate) fn cut<'t>(text: &'t str, mark: &str) -> Option<(&'t str, &'t str)> {
    let at = (0..=text.len()).find(|&at| text.as_bytes()[at..].starts_with(mark.as_bytes()))?;
    Some((&text[..at], &text[at + mark.len()..]))
}

/// A number as messages show it, to four decimals: the standard library's formatting of floats is 4 KB of the browser package.
pub(crate) fn decimal(value: f64) -> String {
    let sign = if value < 0.0 { "-" } else { "" };
    match value.abs() {
        size if size.is_nan() => "NaN".into(),
        f64::INFINITY => format!("{sign}inf"),
        size if size >= 1e15 => format!("{sign}1e15 or more"),
        size => {
            let parts = (size * 1e4 + 0.5) as u64;
            let text = format!("{sign}{}.{:04}", parts / 10_000, parts % 10_000);
            text.trim_end_matches('0').trim_end_matches('.').to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_to_four_decimals() {
        let cases =
            [(1.0, "1"), (1.3, "1.3"), (0.0, "0"), (100.0, "100"), (-70000.5, "-70000.5"), (f64::from(0.95f32), "0.95"), (2e-5, "0")];
        for (value, text) in cases {
            assert_eq!(decimal(value), text);
        }
        assert_eq!([f64::NAN, f64::NEG_INFINITY, 1e300].map(decimal), ["NaN", "-inf", "1e15 or more"]);
    }

    #[test]
    fn a_text_is_cut_at_the_first_mark() {
        assert_eq!(cut("a, b, c", ", "), Some(("a", "b, c")));
        assert_eq!([cut("", ", "), cut("a,b", ", "), cut(",", ", ")], [None; 3]);
        assert_eq!([cut("é: ü", ": "), cut("a", ""), cut("", "")], [Some(("é", "ü")), Some(("", "a")), Some(("", ""))]);
    }
}
