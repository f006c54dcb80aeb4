use crate::{
    options::{DeviceOptions, Unweighted, WeightsOption, network},
    output::{device, number, print, print_json},
};
use anyhow::Result;
use ghostnet::{Tensor, npy, plan::Form};
use serde_json::json;
use std::{path::PathBuf, time::Instant};

/// Images of one run of a long input; bounds the device's memory, and changes no result.
const BATCH: usize = 64;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  ghostnet run --model ghostnet_100 --weights ghostnet_100.safetensors --input x.npy --output y.npy")]
pub struct Args {
    /// A network, path to weights, or hub repository pulled before
    #[arg(long, value_name = "M", required_unless_present = "weights")]
    model: Option<String>,
    #[command(flatten)]
    weights: WeightsOption,
    /// Input: f32 [n, 3, h, w], already normalised, h and w at least 32
    #[arg(long, value_name = "X.npy")]
    input: PathBuf,
    /// Where the logits go: f32 [n, classes]; written whole or not at all
    #[arg(long, value_name = "Y.npy")]
    output: PathBuf,
    /// Print a JSON object: {"backend", "adapter", "shape", "ms"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceOptions,
}

impl Args {
    pub fn run(self) -> Result<()> {
        self.device.check()?;
        let Tensor { shape, data } = npy::read(&self.input)?;
        let &[n, 3, h, w] = &shape[..] else {
            anyhow::bail!("{}: has shape {shape:?}, [n, 3, h, w] is needed", self.input.display());
        };
        let chosen = network(self.model.as_deref(), &self.weights, Unweighted::Refuse)?;
        let engine = self.device.engine()?;
        let model = engine.load(chosen.network)?;
        model.prepare(n.min(BATCH), h, w, Form::Tensors)?;
        let start = Instant::now();
        let mut logits = Vec::new();
        for chunk in data.chunks(BATCH * 3 * h * w) {
            let chunk = Tensor::new(&[chunk.len() / (3 * h * w), 3, h, w], chunk.to_vec())?;
            logits.extend(model.run(&chunk)?.data);
        }
        let ms = start.elapsed().as_secs_f64() * 1e3;
        let shape = [n, model.network().classes()];
        npy::write(&self.output, &Tensor::new(&shape, logits)?)?;
        if self.json {
            return print_json(&json!({ "backend": engine.backend(), "adapter": engine.adapter().name, "shape": shape, "ms": ms }));
        }
        let [n, classes] = shape;
        print(&format!("{}: [{n}, {classes}] in {} ms on {}", self.output.display(), number(ms), device(&engine)))
    }
}
