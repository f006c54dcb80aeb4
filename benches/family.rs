//! Networks for phones by time against published accuracy: the paper's figure 6, in milliseconds
//! rather than multiply-adds. `cargo bench --bench family`; `-- --adapter cpu` for the CPU.

mod common;

use anyhow::{Result, anyhow};
use common::{
    Args, Findings, Row,
    chart::{self, Measured},
};
use ghostnet::{
    Backend, Engine, EngineOptions, Model, Network, Tensor,
    measure::spread,
    median,
    model::{self, Published, Summary, published},
    plan::Form,
};
use ghostnet_cli::report::text::{Align, adapter, count, macs, number};
use serde_json::json;
use std::time::{Duration, Instant};

/// Families, and how names of their networks begin.
const FAMILIES: [(&str, &str); 6] = [
    ("GhostNet", "ghostnet_"),
    ("GhostNetV2", "ghostnetv2_"),
    ("GhostNetV3", "ghostnetv3_"),
    ("RepGhostNet", "repghostnet_"),
    ("MobileNetV2", "mobilenetv2_"),
    ("MobileNetV3", "mobilenetv3_"),
];
const SIDE: usize = 224;

/// Rounds in which each network has its turn.
const FULL: usize = 20;
const QUICK: usize = 3;
/// Runs of a turn; the first, for the caches, is not timed.
const TURN: usize = 4;
/// After this no further round starts.
const TIME: Duration = Duration::from_secs(120);

struct Entry {
    family: &'static str,
    name: &'static str,
    summary: Summary,
    published: Published,
    model: Model,
    dispatches: usize,
    times: Vec<f64>,
}

fn main() -> Result<()> {
    let Some(args) = Args::parse_for("family")? else { return Ok(()) };
    let engine = match args.adapter.as_deref() {
        Some("cpu") => Engine::new(EngineOptions::default().backend(Backend::Cpu))?,
        Some(_) => args.engine()?,
        None => Engine::new(EngineOptions::default().backend(Backend::Auto))?,
    };
    let shape = [1, 3, SIDE, SIDE];
    let input = Tensor::new(&shape, (0..shape.iter().product::<usize>()).map(|at| (at % 251) as f32 / 125.0 - 1.0).collect())?;
    let mut entries = Vec::new();
    for (family, prefix) in FAMILIES {
        for name in model::architectures().filter(|name| name.starts_with(prefix)) {
            let published = published(name).ok_or_else(|| anyhow!("nobody published an accuracy of {name}"))?;
            let model = engine.load(Network::random(name, 0)?)?;
            model.prepare(1, SIDE, SIDE, Form::Tensors)?;
            let dispatches = model.plan(1, SIDE, SIDE, Form::Tensors)?.steps.len();
            entries.push(Entry { family, name, summary: model::summary(name)?, published, model, dispatches, times: Vec::new() });
        }
    }
    let (begin, rounds, mut done) = (Instant::now(), args.pick(FULL, QUICK), 0);
    // In turns, so that what disturbs the machine for a while disturbs all.
    while done < rounds && (done == 0 || begin.elapsed() < TIME) {
        for Entry { model, times, .. } in &mut entries {
            for at in 0..TURN {
                let start = Instant::now();
                model.run(&input)?;
                if at > 0 {
                    times.push(start.elapsed().as_secs_f64() * 1e3);
                }
            }
        }
        done += 1;
    }

    let info = engine.adapter();
    let points: Vec<Measured> = entries.iter().map(Entry::point).collect();
    let subtitle = format!("batch 1, {SIDE} x {SIDE}, f32, on {}, {}", adapter(info), info.driver);
    let svg = chart::measured("Published accuracy against time", &subtitle, &points)?;
    use Align::{Left, Right};
    let findings = Findings {
        name: "family",
        method: format!(
            "runs end to end, batch 1, {SIDE} x {SIDE}, f32, random weights: a tensor to the device, its logits back; wall clock; {done} rounds in which \
             each network has {TURN} runs, the first untimed; medians"
        ),
        info,
        head: &[
            ("network", Left),
            ("params", Right),
            ("MACs", Right),
            ("dispatches", Right),
            ("ms", Right),
            ("p10..p90", Right),
            ("top-1 %", Right),
            ("by", Left),
        ],
        rows: entries.into_iter().map(Entry::row).collect(),
        more: json!({ "rounds": done, "runs": done * (TURN - 1) }),
        notes: vec!["top-1: of ImageNet's validation images, as published by the papers or by timm; not measured here".into()],
    };
    findings.finish(&args)?;
    args.write_chart("family.svg", &svg)
}

impl Entry {
    fn point(&self) -> Measured {
        let (name, ms) = (self.name.split_once('_').map_or(self.name, |(_, width)| width), median(self.times.clone()));
        Measured { family: self.family, name: name.into(), ms, top1: self.published.top1 }
    }

    fn row(self) -> Row {
        let Self { name, summary, published, dispatches, times, .. } = self;
        let [p10, p90] = spread(&times);
        let ms = median(times);
        Row {
            name: name.into(),
            ms,
            json: json!({
                "params": summary.params, "macs": summary.macs, "dispatches": dispatches, "p10_ms": p10, "p90_ms": p90,
                "top1": published.top1, "by": published.by,
            }),
            cells: vec![
                name.into(),
                count(summary.params),
                macs(summary.macs),
                dispatches.to_string(),
                number(ms),
                format!("{}..{}", number(p10), number(p90)),
                format!("{:.1}", published.top1),
                published.by.into(),
            ],
        }
    }
}
