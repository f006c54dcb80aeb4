//! Whole runs, end to end: GhostNet's three widths at three batches. `cargo bench --bench model`.

mod common;

use anyhow::Result;
use common::{Args, Findings, Row};
use ghostnet::{Network, Tensor, median, model, plan::Form, report::spread, report::text::Align, report::text::number};
use serde_json::json;
use std::time::{Duration, Instant};

const BATCHES: [usize; 3] = [1, 8, 32];
const SIDE: usize = 224;

/// Untimed runs.
const WARM_UP: usize = 2;
/// Timed runs at most.
const FULL: usize = 30;
const QUICK: usize = 3;
/// Timed runs, however long they take.
const LEAST: usize = 3;
/// After this no further run starts.
const TIME: Duration = Duration::from_secs(20);

fn main() -> Result<()> {
    let Some(args) = Args::parse_for("model")? else { return Ok(()) };
    let engine = args.engine()?;
    let most = args.pick(FULL, QUICK);
    let mut rows = Vec::new();
    for name in model::architectures() {
        let model = engine.load(Network::random(name, 0)?)?;
        for batch in BATCHES {
            let shape = [batch, 3, SIDE, SIDE];
            let values = (0..shape.iter().product::<usize>()).map(|at| (at % 251) as f32 / 125.0 - 1.0).collect();
            let input = Tensor::new(&shape, values)?;
            model.prepare(batch, SIDE, SIDE, Form::Tensors)?;
            for _ in 0..WARM_UP {
                model.run(&input)?;
            }
            let (begin, mut times) = (Instant::now(), Vec::new());
            while times.len() < most && (times.len() < LEAST || begin.elapsed() < TIME) {
                let start = Instant::now();
                model.run(&input)?;
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
            rows.push(row(name, batch, times));
        }
    }
    use Align::{Left, Right};
    let findings = Findings {
        name: "model",
        method: format!(
            "runs end to end, {SIDE} x {SIDE}, f32: a tensor to the device, its logits back; wall clock; warm-up: {WARM_UP} runs; then {most} \
             runs, fewer (at least {LEAST}) where they take more than {} s; medians",
            TIME.as_secs()
        ),
        info: engine.adapter(),
        head: &[
            ("network", Left),
            ("batch", Right),
            ("ms", Right),
            ("p10..p90", Right),
            ("runs", Right),
            ("ms/image", Right),
            ("images/s", Right),
        ],
        rows,
        more: json!({ "warm_up": WARM_UP }),
        notes: Vec::new(),
    };
    findings.finish(&args)
}

fn row(name: &str, batch: usize, times: Vec<f64>) -> Row {
    let ([p10, p90], runs) = (spread(&times), times.len());
    let ms = median(times);
    let per_image = ms / batch as f64;
    Row {
        name: format!("{name} x {batch}"),
        ms,
        json: json!({ "model": name, "batch": batch, "p10_ms": p10, "p90_ms": p90, "runs": runs, "images_per_s": 1e3 / per_image }),
        cells: vec![
            name.into(),
            batch.to_string(),
            number(ms),
            format!("{}..{}", number(p10), number(p90)),
            runs.to_string(),
            number(per_image),
            number(1e3 / per_image),
        ],
    }
}
