//! Every distinct layer of GhostNet 1.0, alone: time of a dispatch, and how close it comes to what
//! the device can do. `cargo bench --bench kernels`. And one kernel on any shape:
//! `cargo bench --bench kernels -- pointwise 1x80x14x14 --out 184`.

mod common;

use anyhow::{Context as _, Result};
use clap::FromArgMatches as _;
use common::{
    Args, Findings, Row, alone,
    chart::{self, Point},
    percent, us,
};
use ghostnet::measure::{
    gb_per_s, gflops,
    kernels::{Layer, SIDE, measure},
};
use ghostnet_cli::report::text::{Align, adapter, bytes, number};

fn main() -> Result<()> {
    let matches = alone::command().get_matches();
    let args = Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let kernel = matches.subcommand();
    let Some(args) = args.checked(if kernel.is_some() { "kernel" } else { "kernels" })? else { return Ok(()) };
    if let Some((name, given)) = kernel {
        return alone::run(&args, name, given);
    }
    let engine = args.engine()?;
    let found = pollster::block_on(measure(&engine, "ghostnet_100", args.quick, |_, _, _| true))?.context("nobody stops it")?;

    let rows: Vec<Row> = found.layers.iter().map(row).collect();
    let points: Vec<Point> = found.layers.iter().filter_map(point).collect();
    let info = engine.adapter();
    let subtitle = format!("GhostNet 1.0, batch 1, {SIDE} x {SIDE}, f32, on {}, {}", adapter(info), info.driver);
    let svg = chart::roofline("Layers below the roof", &subtitle, &found.roof, &points)?;

    use Align::{Left, Right};
    let copies = found.roof.copies.iter().map(|c| format!("{} GB/s with {}", number(c.gb_per_s), bytes(c.bytes)));
    let findings = Findings {
        name: "kernels",
        method: found.method.clone(),
        info,
        head: &[
            ("layer", Left),
            ("kernel", Left),
            ("shape", Left),
            ("times", Right),
            ("us", Right),
            ("p10..p90", Right),
            ("repeats", Right),
            ("share", Right),
            ("GFLOP/s", Right),
            ("GB/s", Right),
            ("of roof", Right),
        ],
        rows,
        more: found.more(),
        notes: vec![
            format!("roof: {} GFLOP/s from registers; copies {}", number(found.roof.gflops), copies.collect::<Vec<_>>().join(", ")),
            "of roof: the least time by multiply-adds or bytes, whichever is more, as part of the time; a layer's bytes go at the rate of a copy \
             of as many"
                .into(),
            format!("all {} layers, each as often as the network has it: {} ms", found.steps, number(found.total)),
        ],
    };
    findings.finish(&args)?;
    args.write_chart("roofline.svg", &svg)
}

fn row(layer: &Layer) -> Row {
    let Layer { step, ms, spread: [p10, p90], .. } = layer;
    let flops = if step.macs == 0 { "-".into() } else { number(gflops(step.macs, *ms)) };
    Row {
        name: step.name.clone(),
        ms: *ms,
        json: layer.json(),
        cells: vec![
            step.name.clone(),
            step.dispatch.key.kernel.name().into(),
            layer.shape.clone(),
            layer.count.to_string(),
            us(*ms),
            format!("{}..{}", us(*p10), us(*p90)),
            layer.repeats.to_string(),
            format!("{:.1} %", 100.0 * layer.share),
            flops,
            number(gb_per_s(step.read_bytes + step.write_bytes, *ms)),
            percent(layer.of_roof),
        ],
    }
}

fn point(layer: &Layer) -> Option<Point> {
    let Layer { step, ms, share, .. } = layer;
    let intensity = 2.0 * step.macs as f64 / (step.read_bytes + step.write_bytes) as f64;
    let kernel = step.dispatch.key.kernel;
    (step.macs > 0).then(|| Point { name: step.name.clone(), kernel, intensity, gflops: gflops(step.macs, *ms), share: *share })
}
