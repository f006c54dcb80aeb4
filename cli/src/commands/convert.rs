use crate::{
    options::{CardOptions, Unweighted, WeightsOption, network, of_size},
    output::{bytes, print, print_json},
};
use anyhow::Result;
use ghostnet::model::Stored;
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A one-file network is a safetensors file that holds the graph and the card too, so that it needs no name and nothing
beside it. Every command and the browser package take it. With --json:
  {\"model\", \"file\", \"bytes\", \"tensors\"}

Example:
  ghostnet convert timm/ghostnet_100.in1k ghostnet.safetensors --f16")]
pub struct Args {
    /// A network, path to weights, or hub repository pulled before
    #[arg(value_name = "IN")]
    model: String,
    /// The one-file network, written whole or not at all
    #[arg(value_name = "OUT")]
    out: PathBuf,
    #[command(flatten)]
    weights: WeightsOption,
    /// Store weights as halves; vectors, such as biases, stay f32
    #[arg(long)]
    f16: bool,
    /// Store weights as 8-bit integers, with a scale for each output channel; those of a network of
    /// 8-bit weights stay what they are
    #[arg(long, conflicts_with = "f16")]
    int8: bool,
    #[command(flatten)]
    card: CardOptions,
    /// Print a JSON object
    #[arg(short, long)]
    json: bool,
}

impl Args {
    pub fn run(self) -> Result<()> {
        let chosen = network(Some(&self.model), &self.weights, Unweighted::Refuse, &of_size(self.card.size()))?.described(&self.card)?;
        let stored = match (self.f16, self.int8) {
            (true, _) => Stored::F16,
            (_, true) => Stored::Int8,
            _ => Stored::F32,
        };
        chosen.network.save(&self.out, stored)?;
        let size = std::fs::metadata(&self.out)?.len();
        let tensors = chosen.network.tensors().len();
        if self.json {
            return print_json(&json!({ "model": chosen.name, "file": self.out, "bytes": size, "tensors": tensors }));
        }
        print(&format!("{}: {}, {tensors} tensors, {}", self.out.display(), chosen.name, bytes(size)))
    }
}
