use crate::{
    options::{CardOptions, DeviceOptions, Unweighted, WeightsOption, network, of_size, positive},
    output::{aside, bold, cyan, device, fit, one_line, print, print_json, report_text, width},
};
use anyhow::Result;
use ghostnet::{Class, Model, image_input, low_level::with_threads};
use rayon::prelude::*;
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Images of one run.
const BATCH: usize = 8;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
With --json, one JSON object per image, each on its own line:
  {\"image\", \"model\", \"backend\", \"adapter\", \"top\": [{\"index\", \"label\", \"probability\"}]}

Examples:
  ghostnet classify cat.jpg
  ghostnet classify --model timm/ghostnet_100.in1k --top 3 *.jpg")]
pub struct Args {
    /// Images: JPEG, PNG, WebP, BMP or GIF
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// A network, path to weights, or hub repository pulled before [default: ghostnet_050_cifar10]
    #[arg(long, value_name = "M")]
    model: Option<String>,
    #[command(flatten)]
    weights: WeightsOption,
    /// How many classes to show
    #[arg(long, value_name = "K", default_value = "5", value_parser = positive)]
    top: usize,
    /// Print JSON, one object per image
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    card: CardOptions,
    #[command(flatten)]
    device: DeviceOptions,
}

impl Args {
    pub fn run(self) -> Result<ExitCode> {
        self.device.check()?;
        let chosen =
            network(self.model.as_deref(), &self.weights, Unweighted::Refuse, &of_size(self.card.size()))?.described(&self.card)?;
        let engine = self.device.engine()?;
        let model = engine.load(chosen.network)?;
        let mut status = ExitCode::SUCCESS;
        for batch in self.images.chunks(BATCH) {
            let decoded: Vec<_> = with_threads(|| batch.par_iter().map(|path| pixels(&model, path)).collect());
            let mut pixels = Vec::new();
            let mut good = 0;
            for image in decoded.iter().flatten() {
                pixels.extend_from_slice(image);
                good += 1;
            }
            let mut answers = model.classify_pixels(&pixels, good, self.top)?.into_iter();
            for (path, image) in batch.iter().zip(decoded) {
                match image {
                    Err(error) => {
                        report_text(&error.to_string());
                        status = ExitCode::FAILURE;
                    }
                    Ok(_) => {
                        let top = answers.next().unwrap_or_default();
                        if self.json {
                            print_json(&json!({
                                "image": path.to_string_lossy(), "model": chosen.name, "backend": engine.backend(),
                                "adapter": engine.adapter().name, "top": top,
                            }))?;
                        } else {
                            print(&answer(path, &top))?;
                        }
                    }
                }
            }
        }
        if !self.json {
            aside(&format!("{} on {}", chosen.name, device(&engine)));
        }
        Ok(status)
    }
}

/// An image as the network takes it.
fn pixels(model: &Model, path: &Path) -> ghostnet::Result<Vec<u32>> {
    image_input::with_file(path, |image| model.pixels(image))
}

/// The image's name, then per class: percentage, bar, label.
fn answer(path: &Path, top: &[Class]) -> String {
    const PERCENTAGE: usize = 11;
    let columns = width().unwrap_or(80);
    let mut lines = vec![bold(&fit(&one_line(&path.to_string_lossy()), columns))];
    let longest = top.iter().map(|class| class.label.chars().count()).max().unwrap_or(0);
    let room = columns.saturating_sub(PERCENTAGE + 2);
    // Bars give way to labels, down to a width at which they still say something, then vanish.
    let bar = match room.saturating_sub(longest).clamp(8, 30) {
        _ if room < 24 => 0,
        bar => bar,
    };
    let gap = if bar == 0 { 0 } else { bar + 2 };
    for class in top {
        let percentage = format!("{:>7.1} %  ", 100.0 * class.probability);
        let label = fit(&one_line(&class.label), columns.saturating_sub(PERCENTAGE + gap).max(4));
        let bar = if bar == 0 { String::new() } else { cyan(&drawn(class.probability, bar)) + "  " };
        lines.push(percentage + &bar + &label);
    }
    lines.join("\n")
}

/// A bar of `width` columns, to an eighth of a column.
fn drawn(share: f32, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * width as f32 * 8.0).round() as usize;
    let bar = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
    format!("{bar:<width$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_keep_their_width() {
        for share in [0.0, 0.01, 0.5, 0.999, 1.0, f32::NAN] {
            assert_eq!(drawn(share, 10).chars().count(), 10, "{share}");
        }
        assert_eq!(drawn(0.55, 10), "█████▌    ");
    }
}
