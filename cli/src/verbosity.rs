//! What the library logs, on stderr: `-v`.

use crate::output::aside;
use clap::ArgAction;
use log::{LevelFilter, Log, Metadata, Record};

/// How much is said of what is going on.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Verbosity {
    /// Say on stderr what is going on; -vv says more, and what the driver's side (wgpu) warns of
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
}

impl Verbosity {
    /// Has the library's log printed from here on.
    pub fn start(self) {
        let (own, others) = match self.verbose {
            0 => return,
            1 => (LevelFilter::Info, LevelFilter::Off),
            _ => (LevelFilter::Debug, LevelFilter::Warn),
        };
        // There is no other logger in this program.
        if log::set_logger(Box::leak(Box::new(Stderr { own, others }))).is_ok() {
            log::set_max_level(own.max(others));
        }
    }
}

/// A line on stderr for each record.
struct Stderr {
    /// Of the library.
    own: LevelFilter,
    /// Of the crates below it.
    others: LevelFilter,
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let is_own = metadata.target().split("::").next() == Some("ghostnet");
        metadata.level() <= if is_own { self.own } else { self.others }
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            aside(&format!("{}: {}", record.level().as_str().to_lowercase(), record.args()));
        }
    }

    fn flush(&self) {}
}
