//! The command `ghostnet`. Everything it can do is in the library; here are arguments, files and
//! printing.

mod commands;
mod images;
mod options;
mod output;
mod verbosity;

use clap::{CommandFactory as _, Parser as _, error::ErrorKind};
use commands::Cli;
use options::WrongUsage;
use std::{io, process::ExitCode};

fn main() -> ExitCode {
    quiet_wayland();
    let Cli { command, verbosity } = Cli::parse();
    verbosity.start();
    match command.run() {
        Ok(status) => status,
        // Whoever reads the output has seen enough: `ghostnet models | head -1`.
        Err(error) if error.chain().any(is_broken_pipe) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<WrongUsage>() {
            Some(what) => Cli::command().error(ErrorKind::ArgumentConflict, what).exit(),
            None => {
                output::report(&error);
                ExitCode::FAILURE
            }
        },
    }
}

fn is_broken_pipe(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// Mesa's Vulkan layer asks for a Wayland display, whose client library complains on stderr where
/// there is no runtime directory. A directory that holds no display says the same without a word.
fn quiet_wayland() {
    if cfg!(target_os = "linux")
        && std::env::var_os("XDG_RUNTIME_DIR").is_none_or(|directory| !directory.as_encoded_bytes().starts_with(b"/"))
    {
        // SAFETY: the first thing in `main`; there is no other thread that could read the
        // environment.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", "/nonexistent") };
    }
}
