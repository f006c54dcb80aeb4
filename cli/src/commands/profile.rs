use crate::{
    options::{DeviceOptions, Unweighted, WeightsOption, check_input, network, of_size, positive, size},
    output::{Align, adapter, aside, bold, dim, fallback, number, print, print_json, table, write_file},
};
use anyhow::Result;
use clap::ValueHint;
use ghostnet::{
    measure::{gb_per_s, gflops, rate},
    plan::Step,
};
use ghostnet_cli::report::chart::{self, Bar, Chart};
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each step is timed in a compute pass of its own, by the GPU's timestamps (on the CPU by the clock). That says which steps
cost what; their sum is not the time of a run, which `ghostnet bench` measures. With --json:
  {\"model\", \"backend\", \"adapter\", \"driver\", \"precision\", \"batch\", \"total_ms\",
   \"steps\": [{\"name\", \"kernel\", \"ms\", \"share\", \"gflops\", \"gb_per_s\"}]}

Example:
  ghostnet profile ghostnet_100 --chart time.svg")]
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
        let chosen = network(Some(&self.model), &self.weights, Unweighted::Random, &of_size(self.size))?;
        let (title, [h, w]) = (chosen.title(), chosen.size(self.size)?);
        check_input(self.batch, [h, w])?;
        let engine = self.device.engine()?;
        let model = engine.load(chosen.network)?;
        let (plan, times) = model.profile(self.batch, h, w, self.iters)?;
        let total: f64 = times.iter().sum();
        let share = |ms: f64| if total > 0.0 { ms / total } else { 0.0 };
        let timed = || plan.steps.iter().zip(times.iter().copied());
        let (info, precision) = (engine.adapter(), engine.precision().name());
        let title = format!("{title}, batch {}, {h} x {w}, {precision}", self.batch);
        if let Some(file) = &self.chart {
            let bars = timed().map(|(step, ms)| Bar { name: step.name.clone(), kernel: step.dispatch.key.kernel, ms }).collect();
            let subtitle = format!("{}, {}", adapter(info), info.driver);
            write_file(file, chart::svg(Chart { title: title.clone(), subtitle, bars })?.as_bytes())?;
        }
        if self.json {
            let steps = timed().map(|(step, ms)| {
                json!({
                    "name": step.name, "kernel": step.dispatch.key.kernel.name(), "ms": ms, "share": share(ms),
                    "gflops": gflops(step, ms), "gb_per_s": gb_per_s(step, ms),
                })
            });
            return print_json(&json!({
                "model": chosen.name, "backend": engine.backend(), "adapter": info.name, "driver": info.driver, "precision": precision,
                "batch": self.batch, "total_ms": total, "steps": steps.collect::<Vec<_>>(),
            }));
        }
        use Align::{Left, Right};
        let head = [("step", Left), ("kernel", Left), ("ms", Right), ("share", Right), ("GFLOP/s", Right), ("GB/s", Right)];
        let row = |(step, ms): (&Step, f64)| {
            let kernel = step.dispatch.key.kernel.name().to_string();
            let flops = if step.macs == 0 { "-".into() } else { number(gflops(step, ms)) };
            vec![step.name.clone(), kernel, number(ms), format!("{:.1} %", 100.0 * share(ms)), flops, number(gb_per_s(step, ms))]
        };
        let mut rows: Vec<Vec<String>> = timed().map(row).collect();
        let (flops, bytes) =
            timed().fold((0.0, 0.0), |(f, b), (s, _)| (f + 2.0 * s.macs as f64, b + (s.read_bytes + s.write_bytes) as f64));
        let (flops, bytes) = (number(rate(flops, total)), number(rate(bytes, total)));
        rows.push(vec![format!("total of {}", times.len()), String::new(), number(total), "100.0 %".into(), flops, bytes]);
        print(&format!("{}\n", bold(&title)))?;
        print(&table(&head, &rows))?;
        let runs = if self.iters == 1 { "one run".into() } else { format!("medians of {} runs", self.iters) };
        print(&dim(&format!("{runs}, each step timed by itself: for comparing steps; `ghostnet bench` times whole runs")))?;
        aside(&format!("on {}, {}{}", adapter(info), info.driver, fallback(&engine)));
        Ok(())
    }
}
