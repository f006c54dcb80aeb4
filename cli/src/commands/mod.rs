//! Arguments: one file a command. What several share is in `options` and `output`.

mod adapters;
mod bench;
mod classify;
mod completions;
mod convert;
mod detect;
mod eval;
mod ghostify;
mod inspect;
mod man;
mod models;
mod profile;
mod pull;
mod run;
mod tune;

use crate::verbosity::Verbosity;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// GhostNet on any GPU: classify images, run tensors, and see what a network costs.
#[derive(Debug, Parser)]
#[command(name = "ghostnet", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub verbosity: Verbosity,
}

const EXAMPLES: &str = "\
Examples:
  ghostnet classify cat.jpg                          the embedded network, ten classes
  ghostnet pull timm/ghostnet_100.in1k               ImageNet's 1000 classes: pull once, then
  ghostnet classify --model timm/ghostnet_100.in1k *.jpg
  ghostnet bench ghostnet_100 --batch 8              latency and images per second
  ghostnet profile ghostnet_100 --chart time.svg     where the time goes
  ghostnet completions bash >~/.local/share/bash-completion/completions/ghostnet

A model M is an architecture (`ghostnet models` lists them), the embedded network ghostnet_050_cifar10, to weights (safetensors with timm's names, an official .pth, or a one-file network of `ghostnet convert`), or a hub
repository pulled before.

Environment: GHOSTNET_CACHE_DIR, the folder where compiled pipelines are kept for the next start (Vulkan), and what
`ghostnet tune` chose; empty: nowhere.

Exit status: 0 done, 1 an error (one line on stderr), 2 wrong usage.";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Name what images show
    Classify(classify::Args),
    /// Find things in images: boxes, points and landmarks
    Detect(detect::Args),
    /// Run a network on tensors: .npy in, .npy out
    Run(run::Args),
    /// Save a network with its graph and card as one file
    Convert(convert::Args),
    /// Put ghost modules in the place of convolutions
    Ghostify(ghostify::Args),
    /// List the networks that need no file, and those pulled before
    Models(models::Args),
    /// Show the plan of a network: its dispatches and what each costs
    Inspect(inspect::Args),
    /// Measure start-up, latency and throughput
    Bench(bench::Args),
    /// Measure each step of a network
    Profile(profile::Args),
    /// Measure other kernels and tiles on this adapter and store the best; the defaults are good
    /// without it
    Tune(tune::Args),
    /// Measure accuracy on a directory of labelled images
    Eval(eval::Args),
    /// List the GPU adapters, and the CPU
    Adapters(adapters::Args),
    /// Download a model's weights from a Hugging Face hub
    Pull(pull::Args),
    /// Print a script that completes this command's words in a shell
    Completions(completions::Args),
    /// Write the manual's pages
    Man(man::Args),
}

impl Command {
    /// Runs it. The status is a failure's where some of the work failed and was reported, and the
    /// rest was done.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Command::Classify(args) => return args.run(),
            Command::Detect(args) => return args.run(),
            Command::Eval(args) => return args.run(),
            Command::Run(args) => args.run(),
            Command::Convert(args) => args.run(),
            Command::Ghostify(args) => args.run(),
            Command::Models(args) => args.run(),
            Command::Inspect(args) => args.run(),
            Command::Bench(args) => args.run(),
            Command::Profile(args) => args.run(),
            Command::Tune(args) => args.run(),
            Command::Adapters(args) => args.run(),
            Command::Pull(args) => args.run(),
            Command::Completions(args) => args.run(),
            Command::Man(args) => args.run(),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}
