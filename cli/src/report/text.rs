//! Numbers, tables and files; colours on a terminal only.

use anyhow::Result;
use ghostnet::AdapterInfo;
use std::{
    io::{self, IsTerminal as _, Write as _},
    path::Path,
};

/// Names of files and labels are others' text: nothing in them may break the line or drive the
/// terminal.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `text` in an ANSI colour, if wanted, `NO_COLOR` is not set and the terminal knows colours (one
/// of `TERM=dumb` does not).
pub fn paint(colour: bool, code: &str, text: &str) -> String {
    let colour = colour && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) && !console::is_dumb();
    if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
}

/// Bold on a terminal.
pub fn bold(text: &str) -> String {
    paint(io::stdout().is_terminal(), "1", text)
}

/// Faint on a terminal.
pub fn dim(text: &str) -> String {
    paint(io::stdout().is_terminal(), "2", text)
}

/// Cyan on a terminal.
pub fn cyan(text: &str) -> String {
    paint(io::stdout().is_terminal(), "36", text)
}

/// Columns of the terminal that stdout is; `None` where it is none, and lines may be as long as
/// they like.
pub fn width() -> Option<usize> {
    let columns = || console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
    io::stdout().is_terminal().then(|| columns().unwrap_or(80).max(20))
}

/// `text` in at most `width` columns.
pub fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_string();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Three significant digits: 0.0123, 1.23, 12.3, 1,234.
pub fn number(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return if value == 0.0 { "0".into() } else { "-".into() };
    }
    let digits = (2 - value.abs().log10().floor() as i32).clamp(0, 5) as usize;
    if value.abs() < 999.5 { format!("{value:.digits$}") } else { count(value.round() as u64) }
}

/// A whole number with its thousands apart.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in a unit of their size.
pub fn bytes(value: u64) -> String {
    let value = value as f64;
    match value {
        v if v < 1e3 => format!("{v} B"),
        v if v < 1e6 => format!("{} kB", number(v / 1e3)),
        v if v < 1e9 => format!("{} MB", number(v / 1e6)),
        v => format!("{} GB", number(v / 1e9)),
    }
}

/// Multiply-adds in millions or so.
pub fn macs(value: u64) -> String {
    match value as f64 {
        0.0 => "-".into(),
        v if v < 1e6 => format!("{} k", number(v / 1e3)),
        v if v < 1e9 => format!("{} M", number(v / 1e6)),
        v => format!("{} G", number(v / 1e9)),
    }
}

/// The adapter as a line names it.
pub fn adapter(info: &AdapterInfo) -> String {
    if info.backend == "cpu" { info.name.clone() } else { format!("{} ({})", info.name, info.backend) }
}

/// Where a column's text stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// At its start.
    Left,
    /// At its end: numbers.
    Right,
}

/// A table: a head and rows of as many cells. On a terminal too narrow for it the first column
/// gives way, then the last ones go.
pub fn table(head: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let length = |text: &str| text.chars().count();
    let mut widths: Vec<usize> = head.iter().map(|(name, _)| length(name)).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(length(cell));
        }
    }
    if let Some(columns) = width() {
        const LEAST: usize = 12;
        let first = widths[0].min(LEAST);
        let others = |widths: &[usize]| widths[1..].iter().map(|w| w + 2).sum::<usize>();
        while widths.len() > 1 && first + others(&widths) > columns {
            widths.pop();
        }
        widths[0] = widths[0].min(columns - others(&widths));
    }
    let line = |cells: &[String]| {
        let mut text = String::new();
        for ((cell, &width), (_, align)) in cells.iter().zip(&widths).zip(head) {
            let cell = fit(cell, width);
            let gap = if text.is_empty() { "" } else { "  " };
            text += gap;
            text += &match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            };
        }
        text.trim_end().to_string()
    };
    let names: Vec<String> = head.iter().map(|(name, _)| name.to_string()).collect();
    let mut lines = vec![dim(&line(&names))];
    lines.extend(rows.iter().map(|row| line(row)));
    lines.join("\n")
}

/// Writes a file whole or not at all. A pipe or device is written to directly.
pub fn write_file(path: &Path, contents: &[u8]) -> Result<()> {
    Ok(ghostnet::low_level::replace_file(path, |file| file.write_all(contents))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let shown: Vec<String> = [0.0, 0.01234, 0.5, 1.234, 12.34, 99.96, 123.4, 1234.4, 1234567.0, f64::NAN].map(number).to_vec();
        assert_eq!(shown, ["0", "0.0123", "0.500", "1.23", "12.3", "100.0", "123", "1,234", "1,234,567", "-"]);
        assert_eq!([0, 999, 1000, 2_587_292].map(count), ["0", "999", "1,000", "2,587,292"]);
        assert_eq!([999, 1000, 2_704_468].map(bytes), ["999 B", "1.00 kB", "2.70 MB"]);
    }

    #[test]
    fn texts_are_cut_to_their_width() {
        assert_eq!(fit("Egyptian cat", 12), "Egyptian cat");
        assert_eq!(fit("Egyptian cat", 6), "Egypt…");
    }
}
