//! Whole runs, end to end: GhostNet's three widths at three batches, one at a time and several in
//! flight. `cargo bench --bench model`.

mod common;

use anyhow::Result;
use common::{Args, Findings, Row};
use ghostnet::{AnyTensor, Network, Tensor, measure::spread, median, plan::Form};
use ghostnet_cli::report::{
    ms_in_flight,
    text::{Align, number},
};
use serde_json::json;
use std::time::{Duration, Instant};

const NETWORKS: [&str; 3] = ["ghostnet_050", "ghostnet_100", "ghostnet_130"];
const BATCHES: [usize; 3] = [1, 8, 32];
const SIDE: usize = 224;
/// Runs under way at once, for the throughput.
const IN_FLIGHT: [usize; 3] = [1, 2, 3];
/// Runs between two looks at the clock, for the throughput.
const ROUND: usize = 4;

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
    for name in NETWORKS {
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
            let named = AnyTensor::from(input);
            // In turns, so that what disturbs the machine for a while disturbs all.
            let session = |in_flight| model.session(batch, SIDE, SIDE, Form::Tensors, in_flight);
            let mut sessions = IN_FLIGHT.map(|n| Ok((n, session(n)?, Vec::new()))).into_iter().collect::<ghostnet::Result<Vec<_>>>()?;
            let (begin, mut rounds) = (Instant::now(), 0);
            while rounds == 0 || rounds * ROUND < most && begin.elapsed() < TIME {
                for (in_flight, session, times) in &mut sessions {
                    times.push(ms_in_flight(session, &[("input", &named)], *in_flight, ROUND, || ())?);
                }
                rounds += 1;
            }
            let throughput = sessions.into_iter().map(|(_, _, times)| batch as f64 * 1e3 / median(times)).collect();
            rows.push(row(name, batch, times, throughput));
        }
    }
    use Align::{Left, Right};
    let findings = Findings {
        name: "model",
        method: format!(
            "runs end to end, {SIDE} x {SIDE}, f32: a tensor to the device, its logits back; wall clock; warm-up: {WARM_UP} runs; then {most} \
             runs, fewer (at least {LEAST}) where they take more than {} s; medians; throughput: from result to result with 1, 2, 3 runs in \
             flight, rounds of {ROUND} runs in turns, medians",
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
            ("images/s, 1 in flight", Right),
            ("2", Right),
            ("3", Right),
        ],
        rows,
        more: json!({ "warm_up": WARM_UP, "in_flight": IN_FLIGHT }),
        notes: Vec::new(),
    };
    findings.finish(&args)
}

fn row(name: &str, batch: usize, times: Vec<f64>, throughput: Vec<f64>) -> Row {
    let ([p10, p90], runs) = (spread(&times), times.len());
    let ms = median(times);
    let per_image = ms / batch as f64;
    Row {
        name: format!("{name} x {batch}"),
        ms,
        json: json!({ "model": name, "batch": batch, "p10_ms": p10, "p90_ms": p90, "runs": runs, "images_per_s": throughput }),
        cells: [
            vec![
                name.into(),
                batch.to_string(),
                number(ms),
                format!("{}..{}", number(p10), number(p90)),
                runs.to_string(),
                number(per_image),
            ],
            throughput.iter().map(|rate| number(*rate)).collect(),
        ]
        .concat(),
    }
}
