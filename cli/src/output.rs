//! What is printed: notes, errors and progress here, numbers and tables in
//! [`ghostnet_cli::report`].

use anyhow::Result;
use ghostnet::Engine;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::{
    fmt,
    io::{self, IsTerminal as _, Write as _},
};

pub use ghostnet_cli::report::text::*;

/// Prints a text and a line's end to stdout; an error where nobody reads it any more.
pub fn print(text: &str) -> Result<()> {
    print_bytes(&[text.as_bytes(), b"\n"].concat())
}

/// As [`print`], as they are.
pub fn print_bytes(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}

/// Prints a JSON value, on one line.
pub fn print_json(value: &serde_json::Value) -> Result<()> {
    print(&value.to_string())
}

/// A line on stderr, where nobody listening is no reason to stop.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{}", one_line(text));
}

/// As [`note`], faint on a terminal.
pub fn aside(text: &str) {
    let _ = writeln!(io::stderr(), "{}", paint(io::stderr().is_terminal(), "2", &one_line(text)));
}

/// The device as a sentence names it, and why it is the CPU if nobody asked for that.
pub fn device(engine: &Engine) -> String {
    adapter(engine.adapter()) + &fallback(engine)
}

/// Why the CPU is used if nobody asked for it, to be put after its name.
pub fn fallback(engine: &Engine) -> String {
    engine.fallback().map(|why| format!("; {why}")).unwrap_or_default()
}

/// `error: cause (what was being done)` on stderr, on one line.
pub fn report(error: &anyhow::Error) {
    report_text(&chain(error));
}

/// As [`report`], for a message.
pub fn report_text(message: &str) {
    let label = paint(io::stderr().is_terminal(), "1;31", "error:");
    let _ = writeln!(io::stderr(), "{label} {}", one_line(message));
}

/// As [`report_text`], of an image that failed; and its line of JSON, where that is asked for.
pub fn report_image(image: &str, error: &str, json: bool) -> Result<()> {
    report_text(error);
    if json { print_json(&serde_json::json!({ "image": image, "error": error })) } else { Ok(()) }
}

fn chain(error: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    // The library's errors say their own causes.
    let last = error.chain().position(|cause| cause.is::<ghostnet::Error>()).unwrap_or(usize::MAX);
    for part in error.chain().take(last.saturating_add(1)).map(|cause| cause.to_string()).collect::<Vec<_>>().into_iter().rev() {
        // A wrapper often says its source again.
        if !parts.iter().any(|said| said.contains(&part)) {
            parts.push(part);
        }
    }
    let mut parts = parts.into_iter();
    let cause = parts.next().unwrap_or_default();
    parts.fold(cause, |message, context| format!("{message} ({context})"))
}

/// What a progress bar shows beside itself.
#[derive(Clone, Copy)]
pub struct Bar {
    /// On a terminal of 80 columns.
    usual: &'static str,
    /// On one of 40.
    narrow: &'static str,
}

impl Bar {
    pub const RUNS: Self = Self { usual: "{wide_bar} run {pos} of {len}", narrow: "{wide_bar} {pos} of {len}" };
    pub const IMAGES: Self =
        Self { usual: "{wide_bar} {pos} of {len} images  {msg}  {rate}  {eta} left", narrow: "{wide_bar} {pos}/{len}  {msg}" };
    pub const TUNING: Self = Self { usual: "{wide_bar} {msg} {elapsed}", narrow: "{wide_bar} {msg}" };
    pub const DOWNLOAD: Self = Self { usual: "{msg}  {wide_bar} {done} of {all}  {speed}", narrow: "{wide_bar} {done} of {all}" };

    fn style(self, columns: usize) -> ProgressStyle {
        let template = if columns < 80 { self.narrow } else { self.usual };
        let style = ProgressStyle::with_template(template).expect("the template is a literal of this program");
        let key = |text: fn(&ProgressState) -> String| {
            move |state: &ProgressState, out: &mut dyn fmt::Write| out.write_str(&text(state)).unwrap_or(())
        };
        let style = style.with_key("rate", key(|state| format!("{}/s", number(state.per_sec()))));
        let style = style.with_key("done", key(|state| bytes(state.pos()))).with_key("all", key(|state| bytes(state.len().unwrap_or(0))));
        style.with_key("speed", key(|state| format!("{}/s", bytes(state.per_sec() as u64)))).progress_chars("━╸─")
    }
}

/// A progress bar on stderr; nothing where that is no terminal, or one that cannot draw over a
/// line (`TERM=dumb`).
pub fn progress(length: u64, bar: Bar) -> ProgressBar {
    let target = if console::is_dumb() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let columns = console::Term::stderr().size().1;
    ProgressBar::with_draw_target(Some(length), target).with_style(bar.style(columns.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;
    use indicatif::TermLike;
    use std::sync::{Arc, Mutex};

    /// A terminal that keeps what is written.
    #[derive(Debug)]
    struct Paper(u16, Arc<Mutex<String>>);

    impl TermLike for Paper {
        fn width(&self) -> u16 {
            self.0
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(&format!("{text}\n"))
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.1.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            self.write_str("\n")
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn bars_fit_their_terminal() {
        let bars = [
            (Bar::RUNS, "", 2_000_000),
            (Bar::IMAGES, "top-1 100.0 %", 1_281_167),
            (Bar::TUNING, "the whole network", 12),
            (Bar::DOWNLOAD, "pytorch_model-of-many-m…", 2 << 30),
        ];
        for columns in [40, 60, 80, 200] {
            for (bar, message, length) in bars {
                let paper = Arc::new(Mutex::new(String::new()));
                let target = ProgressDrawTarget::term_like(Box::new(Paper(columns, paper.clone())));
                let drawn = ProgressBar::with_draw_target(Some(length), target).with_style(bar.style(columns.into())).with_message(message);
                drawn.set_position(length - 1);
                drawn.tick();
                drawn.abandon();
                let paper = paper.lock().unwrap();
                let lines = paper.lines().map(|line| console::strip_ansi_codes(line).trim_end().to_string());
                let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
                assert!(!lines.is_empty());
                for line in lines {
                    let (width, bar) = (line.chars().count(), line.matches(['━', '╸', '─']).count());
                    assert!(width <= columns.into() && bar >= 3, "{columns}: {width} {line}");
                    // `1.2345/s` is what indicatif writes.
                    let rate = line.split_whitespace().find_map(|word| word.strip_suffix("/s")).unwrap_or_default();
                    assert!(rate.chars().filter(char::is_ascii_digit).count() <= 3 || rate.contains(','), "{line}");
                }
            }
        }
    }

    #[test]
    fn an_error_is_one_line_cause_first() {
        let error = Err::<(), _>(anyhow::anyhow!("a\nb")).context("doing x").context("doing x").unwrap_err();
        assert_eq!(one_line(&chain(&error)), "a b (doing x)");
    }
}
