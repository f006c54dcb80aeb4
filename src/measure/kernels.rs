//! Every distinct layer of a GhostNet, alone: time of a dispatch, and how close it comes to what
//! the device can do.

use super::{Timed, alternate, clock_of, document, gb_per_s, gflops, repeated, roof};
use crate::{
    Engine, Network, Result,
    device::Roofline,
    graph::{Graph, Shape},
    plan::{Form, Plan, Step},
};
use serde_json::{Value, json};

/// Milliseconds of a pass, rounds.
const FULL: (f64, usize) = (15.0, 21);
const QUICK: (f64, usize) = (5.0, 7);

/// Rows and columns of the network's input.
pub const SIDE: usize = 224;

/// One of several equal layers.
pub struct Layer {
    pub step: Step,
    /// How often the network has it.
    pub count: usize,
    /// `[c, h, w] -> [c, h, w]`.
    pub shape: String,
    /// Milliseconds of one dispatch: the median.
    pub ms: f64,
    /// What a tenth of the rounds stayed below, and what a tenth exceeded.
    pub spread: [f64; 2],
    /// Dispatches of a pass.
    pub repeats: usize,
    /// Its part of `Kernels::total`, as often as the network has it.
    pub share: f64,
    /// The least time by multiply-adds or bytes, as part of the time.
    pub of_roof: f64,
}

/// What was found.
pub struct Kernels {
    pub layers: Vec<Layer>,
    pub roof: Roofline,
    pub pass_ms: f64,
    pub rounds: usize,
    /// Milliseconds of all layers, each as often as the network has it.
    pub total: f64,
    /// Steps of the network.
    pub steps: usize,
    pub method: String,
}

/// Measures the layers of the network `name`. `progress` hears how many of how many parts are done
/// and what comes next, and says whether to go on; `None` if not.
pub async fn measure(
    engine: &Engine,
    name: &str,
    quick: bool,
    mut progress: impl FnMut(usize, usize, &str) -> bool,
) -> Result<Option<Kernels>> {
    let model = engine.load(Network::random(name, 0)?)?;
    let plan = model.plan(1, SIDE, SIDE, Form::Tensors)?;
    let kinds = kinds(&plan, model.graph())?;
    let (pass_ms, rounds) = if quick { QUICK } else { FULL };
    let parts = 1 + kinds.len() + rounds;
    if !progress(0, parts, "the roof") {
        return Ok(None);
    }
    let roof = roof(engine, pass_ms, rounds).await?;

    let mut timed = Vec::new();
    for (at, (step, ..)) in kinds.iter().enumerate() {
        if !progress(1 + at, parts, &plan.steps[*step].name) {
            return Ok(None);
        }
        timed.push(Timed::new(engine, plan.only(*step), pass_ms).await?);
    }
    for round in 0..rounds {
        if !progress(1 + kinds.len() + round, parts, "all layers in turn") {
            return Ok(None);
        }
        alternate(&mut timed, 1).await?;
    }

    let total: f64 = kinds.iter().zip(&timed).map(|((_, count, _), t)| *count as f64 * t.median()).sum();
    let layer = |((step, count, shape), t): ((usize, usize, String), &Timed)| {
        let step = plan.steps[step].clone();
        let ms = t.median();
        let of_roof = roof.least_ms(step.macs, step.read_bytes + step.write_bytes) / ms;
        Layer { ms, spread: t.spread(), repeats: t.repeats(), share: count as f64 * ms / total, of_roof, step, count, shape }
    };
    let method = format!(
        "{name}, batch 1, {SIDE} x {SIDE}; each layer's dispatch {}; then {rounds} rounds over all layers in turn; {}; caches are warm",
        repeated(engine, pass_ms),
        clock_of(engine)
    );
    let layers = kinds.into_iter().zip(&timed).map(layer).collect();
    Ok(Some(Kernels { layers, pass_ms, rounds, total, steps: plan.steps.len(), method, roof }))
}

impl Kernels {
    /// What the JSON holds beside its rows.
    pub fn more(&self) -> Value {
        json!({ "roofline": self.roof.json(), "pass_ms": self.pass_ms, "rounds": self.rounds, "total_ms": self.total })
    }

    /// All of it.
    pub fn json(&self, engine: &Engine, quick: bool) -> Value {
        let rows = self.layers.iter().map(|layer| (layer.step.name.clone(), layer.ms, layer.json())).collect();
        document("kernels", engine.adapter(), &self.method, quick, self.more(), rows)
    }
}

impl Layer {
    /// What its row holds beside name and milliseconds.
    pub fn json(&self) -> Value {
        let Layer { step, ms, .. } = self;
        let [p10, p90] = self.spread;
        json!({
            "kernel": step.dispatch.key.kernel.name(), "shader": step.dispatch.key.file_name(), "shape": self.shape, "count": self.count,
            "p10_ms": p10, "p90_ms": p90, "repeats": self.repeats, "macs": step.macs, "bytes": step.read_bytes + step.write_bytes,
            "gflops": gflops(step.macs, *ms), "gb_per_s": gb_per_s(step.read_bytes + step.write_bytes, *ms), "of_roof": self.of_roof, "share": self.share,
        })
    }
}

/// The first step of each kind, how many there are, and their shape.
fn kinds(plan: &Plan, graph: &Graph) -> Result<Vec<(usize, usize, String)>> {
    let shapes = graph.shapes(&[Shape::new(1, 3, SIDE, SIDE)])?;
    let mut kinds: Vec<(usize, usize, String)> = Vec::new();
    for (at, step) in plan.steps.iter().enumerate() {
        // Where its buffers start is no difference.
        let same = |other: &Step| {
            (&other.dispatch.key, other.dispatch.workgroups, other.macs, other.read_bytes, other.write_bytes)
                == (&step.dispatch.key, step.dispatch.workgroups, step.macs, step.read_bytes, step.write_bytes)
        };
        let shape = shape(step, graph, &shapes);
        match kinds.iter_mut().find(|(first, _, s)| *s == shape && same(&plan.steps[*first])) {
            Some((_, count, _)) => *count += 1,
            None => kinds.push((at, 1, shape)),
        }
    }
    Ok(kinds)
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
