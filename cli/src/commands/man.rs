use crate::output::print_bytes;
use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap_mangen::Man;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ghostnet man | man -l -
  ghostnet man ~/.local/share/man/man1")]
pub struct Args {
    /// Where every command's page goes, as ghostnet-COMMAND.1; the directory is made if need be.
    /// Without it the page of `ghostnet` is printed
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

impl Args {
    pub fn run(self) -> Result<()> {
        let command = super::Cli::command();
        let Some(directory) = &self.directory else {
            let mut page = Vec::new();
            Man::new(command).render(&mut page)?;
            return print_bytes(&page);
        };
        let written = std::fs::create_dir_all(directory).and_then(|()| clap_mangen::generate_to(command, directory));
        written.with_context(|| directory.display().to_string())
    }
}
