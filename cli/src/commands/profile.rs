use crate::{
    options::{CardOptions, DeviceOptions, Unweighted, WeightsOption, check_input, network, of_size, positive, size},
    output::{Align, adapter, aside, bold, dim, fallback, number, print, print_json, table, write_file},
};
use anyhow::Result;
use clap::ValueHint;
use ghostnet::{
    TimedStep,
    image::DynamicImage,
    image_input,
    measure::{gb_per_s, gflops},
};
use ghostnet_cli::report::chart::{self, Bar, Chart};
use serde_json::json;
use std::path::PathBuf;

/// Columns and rows of the picture where none is given.
const PLAIN: [u32; 2] = [640, 480];

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each step is timed in a compute pass of its own, by the GPU's timestamps (on the CPU by the clock). That says which steps
cost what; their sum is not the time of a run, which `ghostnet bench` measures. Of a detector, or a network for landmarks,
the steps are those of a picture: `sample` makes the input of it, and `decode` makes boxes of a detector's results. With
--size, or a --batch of several, they are the network's alone. With --json:
  {\"model\", \"backend\", \"adapter\", \"driver\", \"precision\", \"batch\", \"picture\"?: {\"width\", \"height\"}, \"total_ms\",
   \"steps\": [{\"name\", \"kernel\", \"ms\", \"share\", \"gflops\", \"gb_per_s\"}]}

Examples:
  ghostnet profile ghostnet_100 --chart time.svg
  ghostnet profile yunet_n_320.onnx --card yunet.json --picture photo.jpg")]
pub struct Args {
    /// A network, path to weights, or hub repository pulled before
    #[arg(value_name = "M", default_value = ghostnet::model::EMBEDDED)]
    model: String,
    #[command(flatten)]
    weights: WeightsOption,
    /// Draw the steps by time
    #[arg(short, long, value_name = "FILE.svg", value_parser = svg_file, value_hint = ValueHint::FilePath)]
    chart: Option<PathBuf>,
    /// Images of one run
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = positive)]
    batch: usize,
    /// Timed runs, of which each step's median counts
    #[arg(short = 'n', long, value_name = "K", default_value = "20", value_parser = positive)]
    iters: usize,
    /// Rows and columns of the input [default: the model's]
    #[arg(short, long, value_name = "HxW", value_parser = size)]
    size: Option<[usize; 2]>,
    /// The picture that a detector looks at [default: a black one of 640 x 480]
    #[arg(long, value_name = "IMAGE", conflicts_with_all = ["batch", "size"], value_hint = ValueHint::FilePath)]
    picture: Option<PathBuf>,
    /// The detector's card, where its file does not say
    #[arg(long, value_name = "FILE.json", value_hint = ValueHint::FilePath)]
    card: Option<PathBuf>,
    /// Print a JSON object
    #[arg(short, long)]
    json: bool,
    #[command(flatten)]
    device: DeviceOptions,
}

/// Refuses the name of another kind of picture, since a chart is an SVG.
fn svg_file(name: &str) -> Result<PathBuf, String> {
    let file = PathBuf::from(name);
    match file.extension() {
        Some(extension) if !extension.eq_ignore_ascii_case("svg") => Err("charts are drawn as SVG: FILE.svg is needed".into()),
        _ => Ok(file),
    }
}

impl Args {
    pub fn run(self) -> Result<()> {
        self.device.check()?;
        let picture = self.picture.as_deref().map(image_input::decode_file).transpose()?;
        let chosen = network(Some(&self.model), &self.weights, Unweighted::Random, &of_size(self.size))?;
        let chosen = chosen.described(&CardOptions::of(self.card.as_deref()))?;
        if picture.is_some() {
            chosen.check_finds()?;
        }
        let is_alone = self.batch > 1 || self.size.is_some() || chosen.check_finds().is_err();
        let picture = picture.or_else(|| (!is_alone).then(|| DynamicImage::new_rgb8(PLAIN[0], PLAIN[1])));
        let (title, name) = (chosen.title(), chosen.name.clone());
        let (what, engine, steps) = match &picture {
            Some(picture) => {
                let engine = self.device.engine()?;
                let steps = engine.load(chosen.network)?.profile_picture(picture, self.iters)?;
                (format!("a picture of {} x {}", picture.width(), picture.height()), engine, steps)
            }
            None => {
                let [h, w] = chosen.size(self.size)?;
                check_input(self.batch, [h, w])?;
                let engine = self.device.engine()?;
                let (plan, times) = engine.load(chosen.network)?.profile(self.batch, h, w, self.iters)?;
                (format!("batch {}, {h} x {w}", self.batch), engine, TimedStep::of_plan(&plan, &times))
            }
        };
        let total: f64 = steps.iter().map(|step| step.ms).sum();
        let share = |ms: f64| if total > 0.0 { ms / total } else { 0.0 };
        let bytes = |step: &TimedStep| step.read_bytes + step.write_bytes;
        let (info, precision) = (engine.adapter(), engine.precision().name());
        let title = format!("{title}, {what}, {precision}");
        if let Some(file) = &self.chart {
            let bars = steps.iter().map(|step| Bar { name: step.name.clone(), kernel: step.kernel, ms: step.ms }).collect();
            let subtitle = format!("{}, {}", adapter(info), info.driver);
            write_file(file, chart::svg(Chart { title: title.clone(), subtitle, bars })?.as_bytes())?;
        }
        if self.json {
            let step = |step: &TimedStep| {
                json!({
                    "name": step.name, "kernel": step.kernel.name(), "ms": step.ms, "share": share(step.ms),
                    "gflops": gflops(step.macs, step.ms), "gb_per_s": gb_per_s(bytes(step), step.ms),
                })
            };
            let mut said = json!({
                "model": name, "backend": engine.backend(), "adapter": info.name, "driver": info.driver, "precision": precision,
                "batch": self.batch, "total_ms": total, "steps": steps.iter().map(step).collect::<Vec<_>>(),
            });
            if let Some(picture) = picture {
                said["picture"] = json!({ "width": picture.width(), "height": picture.height() });
            }
            return print_json(&said);
        }
        use Align::{Left, Right};
        let head = [("step", Left), ("kernel", Left), ("ms", Right), ("share", Right), ("GFLOP/s", Right), ("GB/s", Right)];
        let row = |step: &TimedStep| {
            let (kernel, share) = (step.kernel.name().to_string(), format!("{:.1} %", 100.0 * share(step.ms)));
            let flops = if step.macs == 0 { "-".into() } else { number(gflops(step.macs, step.ms)) };
            vec![step.name.clone(), kernel, number(step.ms), share, flops, number(gb_per_s(bytes(step), step.ms))]
        };
        let mut rows: Vec<Vec<String>> = steps.iter().map(row).collect();
        let (macs, bytes) = (steps.iter().map(|step| step.macs).sum(), steps.iter().map(bytes).sum());
        let (flops, bytes) = (number(gflops(macs, total)), number(gb_per_s(bytes, total)));
        rows.push(vec![format!("total of {}", steps.len()), String::new(), number(total), "100.0 %".into(), flops, bytes]);
        print(&format!("{}\n", bold(&title)))?;
        print(&table(&head, &rows))?;
        let runs = if self.iters == 1 { "one run".into() } else { format!("medians of {} runs", self.iters) };
        print(&dim(&format!("{runs}, each step timed by itself: for comparing steps; `ghostnet bench` times whole runs")))?;
        aside(&format!("on {}, {}{}", adapter(info), info.driver, fallback(&engine)));
        Ok(())
    }
}
