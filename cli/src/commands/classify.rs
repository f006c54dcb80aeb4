use crate::{
    images::{Source, sources},
    options::{CardOptions, DeviceOptions, Unweighted, WeightsOption, network, of_size, positive},
    output::{aside, bold, cyan, device, fit, one_line, print, print_json, report_image, width},
};
use anyhow::Result;
use ghostnet::{Class, low_level::with_threads};
use rayon::prelude::*;
use serde_json::json;
use std::{path::PathBuf, process::ExitCode};

/// Images of one run.
const BATCH: usize = 8;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Of a folder every image in it and in its folders is classified: .jpg, .jpeg, .png, .webp, .bmp, .gif. With --json, one
JSON object per image, each on its own line:
  {\"image\", \"model\", \"backend\", \"adapter\", \"top\": [{\"index\", \"label\", \"probability\"}]}, or {\"image\", \"error\"}

Examples:
  ghostnet classify cat.jpg photos/
  curl --silent https://example.org/cat.jpg | ghostnet classify -
  ghostnet classify --model timm/ghostnet_100.in1k --top 3 *.jpg")]
pub struct Args {
    /// Images: JPEG, PNG, WebP, BMP or GIF; folders of them; - for one from stdin
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// A network, path to weights, or hub repository pulled before [default: ghostnet_050_cifar10]
    #[arg(short, long, value_name = "M")]
    model: Option<String>,
    #[command(flatten)]
    weights: WeightsOption,
    /// How many classes to show
    #[arg(short = 'k', long, value_name = "K", default_value = "5", value_parser = positive)]
    top: usize,
    /// Print JSON, one object per image
    #[arg(short, long)]
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
        let (mut status, mut is_any_good) = (ExitCode::SUCCESS, false);
        for batch in sources(self.images).chunks(BATCH) {
            let pixels = |source: &Source| source.with_image(|image| model.pixels(image));
            let decoded: Vec<ghostnet::Result<_>> = with_threads(|| batch.par_iter().map(pixels).collect());
            let good: Vec<&[u32]> = decoded.iter().flatten().map(Vec::as_slice).collect();
            is_any_good |= !good.is_empty();
            let mut answers = model.classify_pixels(&good.concat(), good.len(), self.top)?.into_iter();
            for (source, pixels) in batch.iter().zip(&decoded) {
                let name = source.to_string();
                match pixels {
                    Err(error) => {
                        report_image(&name, &error.to_string(), self.json)?;
                        status = ExitCode::FAILURE;
                    }
                    Ok(_) => {
                        let top = answers.next().unwrap_or_default();
                        if self.json {
                            print_json(&json!({
                                "image": name, "model": chosen.name, "backend": engine.backend(),
                                "adapter": engine.adapter().name, "top": top,
                            }))?;
                        } else {
                            print(&answer(&name, &top))?;
                        }
                    }
                }
            }
        }
        if !self.json && is_any_good {
            aside(&format!("{} on {}", chosen.name, device(&engine)));
        }
        Ok(status)
    }
}

/// The image's name, then per class: percentage, bar, label.
fn answer(name: &str, top: &[Class]) -> String {
    const PERCENTAGE: usize = 11;
    let columns = width().unwrap_or(80);
    let mut lines = vec![bold(&fit(&one_line(name), columns))];
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
