//! Every distinct layer of GhostNet 1.0, alone: time of a dispatch, and how close it comes to what the device can do.
//! `cargo bench --bench kernels`.

mod common;

use anyhow::{Result, anyhow};
use common::{
    Args, Findings, Row, Timed,
    chart::{self, Point},
    clock, percent, us,
};
use ghostnet::{
    Network,
    gpu::roofline::{self, Roofline},
    graph::{Graph, Shape},
    plan::{Form, Plan, Step},
    report::{
        gb_per_s, gflops,
        text::{Align, adapter, bytes, number},
    },
};
use serde_json::json;

/// Milliseconds of a pass, rounds.
const FULL: (f64, usize) = (15.0, 21);
const QUICK: (f64, usize) = (5.0, 7);

const SIDE: usize = 224;

/// One of several equal layers.
struct Layer {
    step: usize,
    /// How often the network has it.
    count: usize,
    shape: String,
}

fn main() -> Result<()> {
    let Some(args) = Args::parse_for("kernels")? else { return Ok(()) };
    let engine = args.engine()?;
    let context = engine.gpu().ok_or_else(|| anyhow!("no GPU"))?;
    let model = engine.load(Network::random("ghostnet_100", 0)?)?;
    let plan = model.plan(1, SIDE, SIDE, Form::Tensors)?;
    let layers = layers(&plan, model.graph())?;
    let (pass_ms, rounds) = args.pick(FULL, QUICK);
    let roof = pollster::block_on(roofline::measure(context, pass_ms, rounds))?;

    let mut timed = Vec::new();
    for layer in &layers {
        timed.push(Timed::new(&engine, plan.only(layer.step), pass_ms)?);
    }
    common::alternate(&mut timed.iter_mut().collect::<Vec<_>>(), rounds)?;

    let total: f64 = layers.iter().zip(&timed).map(|(layer, t)| layer.count as f64 * t.median()).sum();
    let rows: Vec<Row> = layers.iter().zip(&timed).map(|(layer, t)| row(&plan.steps[layer.step], layer, t, &roof, total)).collect();
    let points: Vec<Point> = layers.iter().zip(&timed).filter_map(|(layer, t)| point(&plan.steps[layer.step], layer, t, total)).collect();
    let info = engine.adapter();
    let subtitle = format!("GhostNet 1.0, batch 1, {SIDE} x {SIDE}, f32, on {}, {}", adapter(info), info.driver);
    let svg = chart::roofline("Layers below the roof", &subtitle, &roof, &points)?;

    use Align::{Left, Right};
    let copies = roof.copies.iter().map(|c| format!("{} GB/s with {}", number(c.gb_per_s), bytes(c.bytes)));
    let findings = Findings {
        name: "kernels",
        method: format!(
            "GhostNet 1.0, batch 1, {SIDE} x {SIDE}; each layer's dispatch repeated in one compute pass of about {pass_ms} ms; warm-up: passes \
             of 1 and more dispatches up to that length; then {rounds} rounds over all layers in turn; {}; caches are warm",
            clock(&engine)
        ),
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
        more: json!({
            "roofline": {
                "gflops": roof.gflops,
                "copies": roof.copies.iter().map(|c| json!({ "bytes": c.bytes, "gb_per_s": c.gb_per_s })).collect::<Vec<_>>(),
            },
            "pass_ms": pass_ms, "rounds": rounds, "total_ms": total,
        }),
        notes: vec![
            format!("roof: {} GFLOP/s from registers; copies {}", number(roof.gflops), copies.collect::<Vec<_>>().join(", ")),
            "of roof: the least time by multiply-adds or bytes, whichever is more, as part of the time; a layer's bytes go at the rate of a copy \
             of as many"
                .into(),
            format!("all {} layers, each as often as the network has it: {} ms", plan.steps.len(), number(total)),
        ],
    };
    findings.finish(&args)?;
    args.write_chart("roofline.svg", &svg)
}

/// The first of each kind of layer.
fn layers(plan: &Plan, graph: &Graph) -> Result<Vec<Layer>> {
    let shapes = graph.shapes(Shape::new(1, 3, SIDE, SIDE))?;
    let mut layers: Vec<Layer> = Vec::new();
    for (at, step) in plan.steps.iter().enumerate() {
        // Where its buffers start is no difference.
        let same = |other: &Step| {
            (&other.dispatch.key, other.dispatch.workgroups, other.macs, other.read_bytes, other.write_bytes)
                == (&step.dispatch.key, step.dispatch.workgroups, step.macs, step.read_bytes, step.write_bytes)
        };
        let shape = shape(step, graph, &shapes);
        match layers.iter_mut().find(|l| l.shape == shape && same(&plan.steps[l.step])) {
            Some(layer) => layer.count += 1,
            None => layers.push(Layer { step: at, count: 1, shape }),
        }
    }
    Ok(layers)
}

/// `[c, h, w] -> [c, h, w]` of the step's node.
fn shape(step: &Step, graph: &Graph, shapes: &[Shape]) -> String {
    // A step is named after its node, or after a part of it.
    let fits = |name: &str| step.name == name || step.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    let found = graph.nodes().iter().enumerate().filter(|(_, node)| fits(&node.name)).max_by_key(|(_, node)| node.name.len());
    let map = |s: &Shape| if s.pixels() == 1 { s.c.to_string() } else { format!("{}x{}x{}", s.c, s.h, s.w) };
    match found {
        Some((at, node)) => {
            let from = node.inputs.first().map_or(String::new(), |id| map(&shapes[id.0]));
            format!("{from} -> {}", map(&shapes[at]))
        }
        None => String::new(),
    }
}

fn row(step: &Step, layer: &Layer, timed: &Timed, roof: &Roofline, total: f64) -> Row {
    let (ms, [p10, p90]) = (timed.median(), timed.spread());
    let traffic = step.read_bytes + step.write_bytes;
    let of_roof = roof.least_ms(step.macs, traffic) / ms;
    let share = layer.count as f64 * ms / total;
    let kernel = step.dispatch.key.kernel.name();
    let flops = if step.macs == 0 { "-".into() } else { number(gflops(step, ms)) };
    Row {
        name: step.name.clone(),
        ms,
        json: json!({
            "kernel": kernel, "shader": step.dispatch.key.file_name(), "shape": layer.shape, "count": layer.count, "p10_ms": p10,
            "p90_ms": p90, "repeats": timed.repeats(), "macs": step.macs, "bytes": traffic, "gflops": gflops(step, ms),
            "gb_per_s": gb_per_s(step, ms), "of_roof": of_roof, "share": share,
        }),
        cells: vec![
            step.name.clone(),
            kernel.into(),
            layer.shape.clone(),
            layer.count.to_string(),
            us(ms),
            format!("{}..{}", us(p10), us(p90)),
            timed.repeats().to_string(),
            format!("{:.1} %", 100.0 * share),
            flops,
            number(gb_per_s(step, ms)),
            percent(of_roof),
        ],
    }
}

fn point(step: &Step, layer: &Layer, timed: &Timed, total: f64) -> Option<Point> {
    let ms = timed.median();
    let intensity = 2.0 * step.macs as f64 / (step.read_bytes + step.write_bytes) as f64;
    let share = layer.count as f64 * ms / total;
    (step.macs > 0).then(|| Point { name: step.name.clone(), kernel: step.dispatch.key.kernel, intensity, gflops: gflops(step, ms), share })
}
