//! The command `ghostnet`. Everything it can do is in the library; here are arguments, files and
//! printing.

mod commands;
mod draw;
mod images;
mod options;
mod output;
mod verbosity;

use clap::{CommandFactory as _, Parser as _, error::ErrorKind};
use commands::Cli;
use options::WrongUsage;
use std::{io, process::ExitCode};

fn main() -> ExitCode {
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
