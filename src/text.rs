//! Little things with texts, which the standard library does too, at length.

use std::{borrow::Cow, fmt, path::Path};

/// What stands before and after the first `mark`. The standard library's search is large in the
/// browser package.
pub(crate) fn cut<'t>(text: &'t str, mark: &str) -> Option<(&'t str, &'t str)> {
    let at = (0..=text.len()).find(|&at| text.as_bytes()[at..].starts_with(mark.as_bytes()))?;
    Some((&text[..at], &text[at + mark.len()..]))
}

/// A shape or position as messages show it: `[2, 3]`, as `Debug` does, whose lists are large in the
/// browser package.
pub(crate) struct Sides<'a, T = usize>(pub &'a [T]);

impl<T: fmt::Display> fmt::Display for Sides<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (at, side) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { ", " })?;
            side.fmt(f)?;
        }
        f.write_str("]")
    }
}

/// A file's name as messages show it. In a browser a path is a text that somebody gave.
pub(crate) fn path(path: &Path) -> Cow<'_, str> {
    if cfg!(target_arch = "wasm32") { Cow::Borrowed(path.to_str().unwrap_or_default()) } else { path.to_string_lossy() }
}

/// A number as messages show it, to four decimals. The standard library's formatting of floats is
/// large in the browser package.
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
    fn sides_are_shown_as_a_list() {
        for sides in [&[][..], &[7], &[1, 2, 3]] {
            assert_eq!(Sides(sides).to_string(), format!("{sides:?}"));
        }
    }

    #[test]
    fn a_text_is_cut_at_the_first_mark() {
        assert_eq!(cut("a, b, c", ", "), Some(("a", "b, c")));
        assert_eq!([cut("", ", "), cut("a,b", ", "), cut(",", ", ")], [None; 3]);
        assert_eq!([cut("é: ü", ": "), cut("a", ""), cut("", "")], [Some(("é", "ü")), Some(("", "a")), Some(("", ""))]);
    }
}
