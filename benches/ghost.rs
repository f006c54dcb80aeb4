//! What ghost modules gain: each of GhostNet 1.0's against the plain 1x1 convolution in its place,
//! and the whole network. `cargo bench --bench ghost`.

mod common;

use anyhow::{Result, anyhow};
use common::{
    Args, Findings, Row, bytes,
    chart::{self, Speedup},
    percent, us,
};
use ghostnet::{
    Engine, Network,
    device::Choice,
    graph::{Activation, Graph, Op, Shape, passes},
    measure::{Timed, alternate, clock_of, repeated},
    model::{
        Source,
        families::ghostnet::{GhostModule, GhostNet},
    },
    plan::{ConstantCache, Form, Plan, PlanOptions},
};
use ghostnet_cli::report::text::{self, Align, adapter, number};
use pollster::block_on;
use serde_json::{Value, json};

/// Milliseconds of a pass, rounds.
const FULL: (f64, usize) = (15.0, 21);
const QUICK: (f64, usize) = (5.0, 7);

const SIDE: usize = 224;

/// One comparison: the ghost module fused, as two dispatches, and the plain convolution.
struct Case {
    name: String,
    shape: String,
    fused: Side,
    unfused: Side,
    plain: Side,
}

/// One side of it.
#[derive(Clone, Copy, Default)]
struct Side {
    ms: f64,
    spread: [f64; 2],
    bytes: u64,
    macs: u64,
}

fn main() -> Result<()> {
    let Some(args) = Args::parse_for("ghost")? else { return Ok(()) };
    let engine = args.engine()?;
    let (pass_ms, rounds) = args.pick(FULL, QUICK);
    let mut cases = Vec::new();
    for module in modules()? {
        cases.push(module.measure(&engine, pass_ms, rounds)?);
    }
    let total = Case {
        name: "all modules".into(),
        shape: String::new(),
        fused: sum(cases.iter().map(|c| c.fused)),
        unfused: sum(cases.iter().map(|c| c.unfused)),
        plain: sum(cases.iter().map(|c| c.plain)),
    };
    cases.push(total);
    let totals = 2;
    cases.push(network(&engine, pass_ms, rounds)?);

    let info = engine.adapter();
    let first_total = cases.len() - totals;
    let bars: Vec<Speedup> = cases.iter().enumerate().map(|(at, case)| case.bar(at >= first_total)).collect();
    let subtitle = format!("GhostNet 1.0, batch 1, {SIDE} x {SIDE}, f32, on {}, {}", adapter(info), info.driver);
    let svg = chart::speedups("Ghost modules against plain 1x1 convolutions", &subtitle, &bars)?;

    use Align::{Left, Right};
    let findings = Findings {
        name: "ghost",
        method: format!(
            "GhostNet 1.0, batch 1, {SIDE} x {SIDE}; ghost modules (s = 2, d = 3) in one dispatch and in two, against the 1x1 convolution (s = 1) \
             with the same input, output and activation, without gates and shortcuts; {}; then {rounds} rounds, the three sides in turn; \
             medians; {}; caches are warm",
            repeated(&engine, pass_ms),
            clock_of(&engine)
        ),
        info,
        head: &[
            ("module", Left),
            ("shape", Left),
            ("ghost us", Right),
            ("in two us", Right),
            ("plain us", Right),
            ("speedup", Right),
            ("promise", Right),
            ("kept", Right),
            ("ghost MACs", Right),
            ("plain MACs", Right),
            ("ghost bytes", Right),
            ("in two", Right),
            ("plain bytes", Right),
        ],
        rows: cases.iter().map(Case::row).collect(),
        more: json!({ "pass_ms": pass_ms, "rounds": rounds }),
        notes: vec![
            "speedup: plain / ghost time; promise: plain / ghost multiply-adds; kept: (speedup - 1) / (promise - 1), so 0 % where nothing is \
             gained and less where the ghost module is slower"
                .into(),
            "bytes: what the dispatches read and write, weights included, each once".into(),
        ],
    };
    findings.finish(&args)?;
    args.write_chart("ghost.svg", &svg)
}

/// A ghost module of the network, and its input.
struct Module {
    name: String,
    input: Shape,
    c_out: usize,
    relu: bool,
}

/// Every ghost module of GhostNet 1.0.
fn modules() -> Result<Vec<Module>> {
    let mut graph = GhostNet::new(1.0).graph(&mut Source::zeros())?;
    passes::run(&mut graph, passes::REQUIRED);
    passes::run(&mut graph, passes::FUSING);
    let shapes = graph.shapes(&[Shape::new(1, 3, SIDE, SIDE)])?;
    let module = |node: &ghostnet::graph::Node| match &node.op {
        Op::Ghost(ghost) => {
            let relu = ghost.primary_activation == Activation::Relu;
            Some(Module { name: node.name.clone(), input: shapes[node.inputs[0].0], c_out: ghost.c_out, relu })
        }
        _ => None,
    };
    Ok(graph.nodes().iter().filter_map(module).collect())
}

impl Module {
    fn graph(&self, ratio: usize) -> Result<Graph> {
        let mut graph = Graph::new();
        let input = graph.add_input(self.input.c)?;
        let module = GhostModule::new(self.input.c, self.c_out).ratio(ratio).relu(self.relu);
        let output = module.add(&mut graph, &mut Source::formula(0), &self.name, input)?;
        graph.add_output("maps", output);
        Ok(graph)
    }

    fn measure(&self, engine: &Engine, pass_ms: f64, rounds: usize) -> Result<Case> {
        let (ghost, plain) = (engine.load_graph(self.graph(2)?)?, engine.load_graph(self.graph(1)?)?);
        let plan = |model: &ghostnet::Model| model.plan(1, self.input.h, self.input.w, Form::Tensors);
        let plans = [plan(&ghost)?, in_two(engine, ghost.graph(), self.input)?, plan(&plain)?];
        let dispatches = plans.each_ref().map(|p| p.steps.len());
        if dispatches != [1, 2, 1] {
            return Err(anyhow!("{}: {dispatches:?} dispatches where 1, 2 and 1 are compared", self.name));
        }
        let Shape { c, h, w, .. } = self.input;
        let [fused, unfused, plain] = sides(engine, plans, pass_ms, rounds)?;
        Ok(Case { name: self.name.clone(), shape: format!("{c} -> {} at {h}x{w}", self.c_out), fused, unfused, plain })
    }
}

/// The plan of a graph with each ghost module in two dispatches.
fn in_two(engine: &Engine, graph: &Graph, input: Shape) -> Result<Plan> {
    let choice = Choice { fuse_ghost: false, ..engine.choice() };
    let options = PlanOptions { form: Form::Tensors, precision: engine.precision(), choice, normalise: [[0.0; 3]; 2] };
    Ok(Plan::new(graph, &[input], &options, &mut ConstantCache::new())?)
}

/// The whole network, with s = 2 and s = 1.
fn network(engine: &Engine, pass_ms: f64, rounds: usize) -> Result<Case> {
    let load = |ratio| engine.load(Network::random_of(&GhostNet::new(1.0).ratio(ratio), 0)?);
    let (ghost, plain) = (load(2)?, load(1)?);
    let input = Shape::new(1, 3, SIDE, SIDE);
    let plan = |model: &ghostnet::Model| model.plan(1, SIDE, SIDE, Form::Tensors);
    let plans = [plan(&ghost)?, in_two(engine, ghost.graph(), input)?, plan(&plain)?];
    let [fused, unfused, plain] = sides(engine, plans, pass_ms, rounds)?;
    Ok(Case { name: "whole network".into(), shape: format!("3x{SIDE}x{SIDE} -> 1000"), fused, unfused, plain })
}

fn sides(engine: &Engine, plans: [Plan; 3], pass_ms: f64, rounds: usize) -> Result<[Side; 3]> {
    let [a, b, c] = plans.map(|plan| block_on(Timed::new(engine, plan, pass_ms)));
    let mut timed = [a?, b?, c?];
    block_on(alternate(&mut timed, rounds))?;
    Ok(timed.map(|t| Side { ms: t.median(), spread: t.spread(), bytes: bytes(t.plan()), macs: t.plan().macs() }))
}

fn sum(sides: impl Iterator<Item = Side>) -> Side {
    sides.fold(Side::default(), |a, b| Side {
        ms: a.ms + b.ms,
        // Of sums only roughly: as if all rounds were bad together.
        spread: [a.spread[0] + b.spread[0], a.spread[1] + b.spread[1]],
        bytes: a.bytes + b.bytes,
        macs: a.macs + b.macs,
    })
}

impl Case {
    fn speedup(&self) -> f64 {
        self.plain.ms / self.fused.ms
    }

    fn promise(&self) -> f64 {
        self.plain.macs as f64 / self.fused.macs as f64
    }

    /// The part of the promised gain that is there.
    fn kept(&self) -> f64 {
        (self.speedup() - 1.0) / (self.promise() - 1.0)
    }

    fn row(&self) -> Row {
        let side = |s: &Side| json!({ "ms": s.ms, "p10_ms": s.spread[0], "p90_ms": s.spread[1], "bytes": s.bytes, "macs": s.macs });
        let json: Value = json!({
            "shape": self.shape, "fused": side(&self.fused), "unfused": side(&self.unfused), "plain": side(&self.plain),
            "speedup": self.speedup(), "promise": self.promise(), "kept": self.kept(),
        });
        let cells = vec![
            self.name.clone(),
            self.shape.clone(),
            us(self.fused.ms),
            us(self.unfused.ms),
            us(self.plain.ms),
            number(self.speedup()),
            number(self.promise()),
            percent(self.kept()),
            text::macs(self.fused.macs),
            text::macs(self.plain.macs),
            text::bytes(self.fused.bytes),
            text::bytes(self.unfused.bytes),
            text::bytes(self.plain.bytes),
        ];
        Row { name: self.name.clone(), ms: self.fused.ms, json, cells }
    }

    fn bar(&self, total: bool) -> Speedup {
        let label = format!("{} of {} x, {} us", number(self.speedup()), number(self.promise()), us(self.fused.ms));
        let in_two = self.plain.ms / self.unfused.ms;
        Speedup { name: self.name.clone(), speedup: self.speedup(), promise: self.promise(), in_two, label, total }
    }
}
