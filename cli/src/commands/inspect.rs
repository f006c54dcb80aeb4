use crate::{
    options::{DeviceOptions, Unweighted, WeightsOption, network, of_size, positive, size},
    output::{Align, bold, bytes, count, macs, one_line, print, print_json, table, write_file},
};
use anyhow::{Context as _, Result};
use clap::ValueEnum;
use ghostnet::{
    Network,
    device::{Choice, DeviceClass},
    graph::{
        TensorType,
        passes::{self, Near},
    },
    plan::{ConstantCache, Form, Plan, PlanOptions, grid},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Opens no device, unless --adapter names one. With --json:
  {\"model\", \"params\", \"macs\", \"dispatches\", \"unfused\", \"pipelines\", \"weight_bytes\", \"activation_bytes\",
   \"steps\": [{\"name\", \"kernel\", \"shader\", \"entry\", \"overrides\", \"workgroups\", \"macs\", \"read_bytes\", \"write_bytes\"}],
   \"inputs\", \"outputs\": [{\"name\", \"type\", \"sides\"}], \"card\", \"fused\": [{\"pass\", \"matches\"}], \"nearly\": [{\"node\", \"pass\", \"why\"}]}

Example:
  ghostnet inspect ghostnet_100 --batch 4 --dump-shaders wgsl/")]
pub struct Args {
    /// A network, path to weights, or hub repository pulled before
    #[arg(value_name = "M", default_value = ghostnet::model::EMBEDDED)]
    model: String,
    #[command(flatten)]
    weights: WeightsOption,
    /// Images of one run
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = positive)]
    batch: usize,
    /// Rows and columns of the input [default: the model's]
    #[arg(short, long, value_name = "HxW", value_parser = size)]
    size: Option<[usize; 2]>,
    /// Write every WGSL file of the plan here; the directory is made if need be
    #[arg(long, value_name = "DIR")]
    dump_shaders: Option<PathBuf>,
    /// The device to plan for: `gpu`, `software` (a driver on the CPU) or `cpu` [default: gpu; cpu
    /// for --backend cpu]
    #[arg(long, value_enum, hide_possible_values = true, value_name = "gpu|software|cpu")]
    device_class: Option<Class>,
    /// Print a JSON object
    #[arg(short, long)]
    json: bool,
    #[command(flatten)]
    device: DeviceOptions,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Class {
    Gpu,
    Software,
    Cpu,
}

impl Args {
    pub fn run(self) -> Result<()> {
        self.device.check()?;
        let chosen = network(Some(&self.model), &self.weights, Unweighted::Random, &of_size(self.size))?;
        let [h, w] = chosen.size(self.size)?;
        let choice = match self.device_class {
            Some(Class::Gpu) => Choice::new(DeviceClass::Gpu),
            Some(Class::Software) => Choice::new(DeviceClass::Software),
            Some(Class::Cpu) => Choice::new(DeviceClass::Cpu),
            None if self.device.is_cpu() => Choice::new(DeviceClass::Cpu),
            None if self.device.names_adapter() => self.device.engine()?.choice(),
            None => Choice::new(DeviceClass::Gpu),
        };
        let mut graph = chosen.network.graph().clone();
        let mut fused = passes::run(&mut graph, passes::REQUIRED);
        let unfused = graph.clone();
        fused.extend(passes::run(&mut graph, passes::FUSING));
        fused.retain(|(_, matches)| *matches > 0);
        let near = passes::near(&graph);
        let options = PlanOptions { form: Form::Tensors, precision: self.device.precision(), choice, normalise: [[0.0; 3]; 2] };
        let inputs = chosen.network.shapes(self.batch, [h, w]);
        let plan = Plan::new(&graph, &inputs, &options, &mut ConstantCache::new())?;
        let unfused = Plan::new(&unfused, &inputs, &options, &mut ConstantCache::new())?.steps.len();
        if let Some(directory) = &self.dump_shaders {
            dump(&plan, directory)?;
        }
        let params = chosen.network.graph().params();
        if self.json {
            return print_json(&json!({
                "model": chosen.name, "params": params, "macs": plan.macs(), "dispatches": plan.steps.len(), "unfused": unfused,
                "pipelines": plan.pipelines(), "weight_bytes": plan.weight_bytes(), "activation_bytes": plan.activation_bytes(),
                "steps": steps(&plan),
                "inputs": ends(chosen.network.graph().inputs().iter().map(|input| (&*input.name, input.tensor.clone()))),
                "outputs": ends(chosen.network.graph().results()),
                "card": serde_json::from_str::<Value>(&chosen.network.card().to_json())?,
                "fused": fused.iter().map(|(pass, matches)| json!({ "pass": pass, "matches": matches })).collect::<Vec<_>>(),
                "nearly": near.iter().map(|n| json!({ "node": n.node, "pass": n.pass, "why": n.why })).collect::<Vec<_>>(),
            }));
        }
        let title = format!("{}, batch {}, {h} x {w}", chosen.title(), self.batch);
        print(&format!("{}\n{}\n", bold(&title), totals(&plan, unfused, params)))?;
        print(&about(&chosen.network, &fused, &near))?;
        print(&listing(&plan))
    }
}

fn steps(plan: &Plan) -> Vec<Value> {
    let step = |step: &ghostnet::plan::Step| {
        json!({
            "name": step.name, "kernel": step.dispatch.key.kernel.name(), "shader": step.dispatch.key.file_name(), "entry": "main",
            "overrides": {}, "workgroups": grid(step.dispatch.workgroups), "macs": step.macs, "read_bytes": step.read_bytes,
            "write_bytes": step.write_bytes,
        })
    };
    plan.steps.iter().map(step).collect()
}

/// Names of tensors that enter or leave, with their types and sides.
fn ends<'a>(ends: impl Iterator<Item = (&'a str, TensorType)>) -> Vec<Value> {
    let end = |(name, tensor): (&str, TensorType)| json!({ "name": name, "type": tensor.element.name(), "sides": tensor.sides().collect::<Vec<_>>() });
    ends.map(end).collect()
}

/// What the network takes and gives and is for, and what the passes made of it.
fn about(network: &Network, fused: &[(&str, usize)], near: &[Near]) -> String {
    const SHOWN: usize = 8;
    let (graph, card) = (network.graph(), network.card());
    let mut lines = Vec::new();
    for input in graph.inputs() {
        lines.push(format!("input    {} {}, {} channels", input.name, input.tensor, graph.channels(input.node)));
    }
    for (result, tensor) in graph.results() {
        let what = card.outputs.iter().find(|(name, _)| *name == result).map(|(_, what)| format!(": {what}"));
        lines.push(format!("result   {result} {tensor}{}", what.unwrap_or_default()));
    }
    for last in graph.suppressions() {
        lines.push(format!("on CPU   {}: {last}; boxes {}, scores {}", last.name, last.boxes.tensor, last.scores.tensor));
    }
    for (name, p) in &card.inputs {
        let [h, w] = p.size;
        let interpolation = p.interpolation.name();
        lines.push(format!("images   {name}: {h} x {w}, crop {}, {interpolation}, mean {:?}, std {:?}", p.crop_pct, p.mean, p.std));
    }
    if !card.labels.is_empty() {
        let some: Vec<&str> = card.labels.iter().take(3).map(String::as_str).collect();
        let more = if card.labels.len() > some.len() { ", …" } else { "" };
        lines.push(format!("classes  {}: {}{more}", card.labels.len(), some.join(", ")));
    }
    let decoder = network.detector().map(|detector| detector.words());
    let decoder = decoder.or_else(|| network.landmarker().map(|landmarker| landmarker.words()));
    lines.extend(decoder.into_iter().flatten().map(|(about, said)| format!("{about:8} {said}")));
    lines.extend(card.source.iter().map(|source| format!("source   {source}")));
    lines.extend(card.licence.iter().map(|licence| format!("licence  {licence}")));
    let fused: Vec<String> = fused.iter().map(|(pass, matches)| format!("{pass} {matches}")).collect();
    lines.push(format!("passes   {}", if fused.is_empty() { "nothing to do".into() } else { fused.join(", ") }));
    lines.extend(near.iter().take(SHOWN).map(|near| format!("nearly   {} ({}): {}", near.node, near.pass, near.why)));
    if near.len() > SHOWN {
        lines.push(format!("         and {} more: --json shows all", near.len() - SHOWN));
    }
    lines.iter().map(|line| one_line(line)).collect::<Vec<_>>().join("\n") + "\n"
}

fn totals(plan: &Plan, unfused: usize, params: u64) -> String {
    format!(
        "{} parameters, {} multiply-adds; {} dispatches ({unfused} before fusion) of {} pipelines; weights {}, activations {}",
        count(params),
        macs(plan.macs()),
        plan.steps.len(),
        plan.pipelines(),
        bytes(plan.weight_bytes() as u64),
        bytes(plan.activation_bytes() as u64),
    )
}

fn listing(plan: &Plan) -> String {
    use Align::{Left, Right};
    let head = [("step", Left), ("kernel", Left), ("workgroups", Right), ("MACs", Right), ("read", Right), ("written", Right)];
    let rows: Vec<Vec<String>> = plan
        .steps
        .iter()
        .map(|step| {
            let workgroups = count(u64::from(step.dispatch.workgroups));
            let kernel = step.dispatch.key.kernel.name().to_string();
            vec![step.name.clone(), kernel, workgroups, macs(step.macs), bytes(step.read_bytes), bytes(step.write_bytes)]
        })
        .collect();
    table(&head, &rows)
}

fn dump(plan: &Plan, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("making the directory {}", directory.display()))?;
    let keys: BTreeSet<_> = plan.steps.iter().map(|step| &step.dispatch.key).collect();
    for key in keys {
        write_file(&directory.join(key.file_name()), key.source().as_bytes())?;
    }
    Ok(())
}
