use crate::output::print_bytes;
use anyhow::Result;
use clap::CommandFactory as _;
use clap_complete::Shell;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ghostnet completions bash >~/.local/share/bash-completion/completions/ghostnet
  ghostnet completions zsh >\"${fpath[1]}/_ghostnet\"
  ghostnet completions fish >~/.config/fish/completions/ghostnet.fish")]
pub struct Args {
    /// The shell: bash, elvish, fish, powershell or zsh
    #[arg(value_enum, hide_possible_values = true, value_name = "SHELL")]
    shell: Shell,
}

impl Args {
    pub fn run(self) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::Cli::command(), "ghostnet", &mut script);
        print_bytes(&script)
    }
}
