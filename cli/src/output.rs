//! What is printed: notes, errors and progress here, numbers and tables in
//! [`ghostnet_cli::report`].

use anyhow::Result;
use ghostnet::Engine;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal as _, Write as _};

pub use ghostnet_cli::report::text::*;

/// Prints a text and a line's end to stdout; an error where nobody reads it any more.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
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

fn chain(error: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in error.chain().map(|cause| cause.to_string()).collect::<Vec<_>>().into_iter().rev() {
        // A wrapper often says its source again.
        if !parts.iter().any(|said| said.contains(&part)) {
            parts.push(part);
        }
    }
    let mut parts = parts.into_iter();
    let cause = parts.next().unwrap_or_default();
    parts.fold(cause, |message, context| format!("{message} ({context})"))
}

/// A progress bar on stderr; nothing where that is no terminal.
pub fn progress(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the template is a literal of this program");
    ProgressBar::new(length).with_style(style.progress_chars("━╸─"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn an_error_is_one_line_cause_first() {
        let error = Err::<(), _>(anyhow::anyhow!("a\nb")).context("doing x").context("doing x").unwrap_err();
        assert_eq!(one_line(&chain(&error)), "a b (doing x)");
    }
}
