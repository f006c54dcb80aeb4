use crate::{
    options::{DeviceOptions, Unweighted, WeightsOption, check_input, network, of_size, positive, size},
    output::{Align, Bar, adapter, aside, bold, dim, number, print, print_json, progress, table},
};
use anyhow::{Result, anyhow};
use ghostnet::{
    Engine,
    device::{Choice, Decision},
    graph::{Graph, Shape},
    measure::{Timed, alternate, clock_of},
    plan::{ConstantCache, Form, Plan, PlanOptions},
};
use serde_json::json;
use std::{collections::HashSet, time::Instant};

/// Milliseconds of a pass, rounds.
const FULL: (f64, usize) = (15.0, 15);
const QUICK: (f64, usize) = (3.0, 5);

/// What is not at least 5 % faster may be chance, and is not taken.
const ENOUGH: f64 = 0.95;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
For each decision the default and its candidates run the steps that differ, in turn; medians count, and another than the
default is taken where it is at least 5 % faster. What was taken is stored, for this adapter, driver and precision, if the
whole network is then no slower; else nothing is, and what was stored before is removed. With --json:
  {\"model\", \"adapter\", \"driver\", \"precision\", \"batch\", \"clock\",
   \"decisions\": [{\"name\", \"default_ms\", \"candidates\": [{\"name\", \"ms\"}], \"taken\"}],
   \"network\": {\"default_ms\", \"tuned_ms\", \"ratio\"} or null, \"choice\", \"file\", \"stored\", \"seconds\"};
with --reset: {\"file\", \"removed\"}.")]
pub struct Args {
    /// A network, path to weights, or hub repository pulled before
    #[arg(value_name = "M", default_value = "ghostnet_100")]
    model: String,
    #[command(flatten)]
    weights: WeightsOption,
    /// Images of one run
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = positive)]
    batch: usize,
    /// Rows and columns of the input [default: the model's]
    #[arg(short, long, value_name = "HxW", value_parser = size)]
    size: Option<[usize; 2]>,
    /// Few and short repetitions: for a first impression
    #[arg(long)]
    quick: bool,
    /// Measure nothing; remove what was stored for this adapter and precision
    #[arg(long, conflicts_with_all = ["quick", "model", "weights", "batch", "size"])]
    reset: bool,
    /// Print a JSON object
    #[arg(short, long)]
    json: bool,
    #[command(flatten)]
    device: DeviceOptions,
}

/// A decision, measured.
struct Measured {
    decision: Decision,
    default_ms: f64,
    candidates: Vec<(String, f64)>,
    /// The fastest of them.
    best: usize,
    taken: bool,
}

/// What is measured: plans of one graph for inputs of one size.
struct Tuner<'a> {
    engine: &'a Engine,
    graph: &'a Graph,
    inputs: Vec<Shape>,
    packed: ConstantCache,
    pass_ms: f64,
    rounds: usize,
}

impl Args {
    pub fn run(self) -> Result<()> {
        self.device.check()?;
        let engine = self.device.engine()?;
        // Before minutes of measuring, not after.
        let file = engine.choice_file().map_err(|error| match engine.fallback() {
            Some(why) => anyhow!("{why}; tuning is for GPUs, --backend gpu takes any adapter"),
            None => error.into(),
        })?;
        if self.reset {
            let removed = engine.keep_choice(None)?;
            if self.json {
                return print_json(&json!({ "file": file, "removed": removed }));
            }
            let what = if removed { "removed" } else { "nothing is stored there" };
            return print(&format!("{}: {what}", file.display()));
        }
        let chosen = network(Some(&self.model), &self.weights, Unweighted::Random, &of_size(self.size))?;
        let (title, [h, w]) = (chosen.title(), chosen.size(self.size)?);
        let name = chosen.name;
        check_input(self.batch, [h, w])?;

        let start = Instant::now();
        let model = engine.load(chosen.network)?;
        let (pass_ms, rounds) = if self.quick { QUICK } else { FULL };
        let inputs = model.network().shapes(self.batch, [h, w]);
        let mut tuner = Tuner { engine: &engine, graph: model.graph(), inputs, packed: ConstantCache::new(), pass_ms, rounds };
        let default = Choice::new(engine.choice().class);
        let mut choice = default;
        let mut decisions = Vec::new();
        let bar = progress(Decision::ALL.len() as u64 + 1, Bar::TUNING);
        for decision in Decision::ALL {
            bar.set_message(decision.name());
            decisions.extend(tuner.decide(decision, &mut choice)?);
            bar.inc(1);
        }
        bar.set_message("the whole network");
        let network = if choice == default { None } else { Some(tuner.network(&[default, choice])?) };
        bar.finish_and_clear();
        let stored = network.is_some_and(|[before, after]| after <= before);
        engine.keep_choice(stored.then_some(&choice))?;
        let seconds = start.elapsed().as_secs_f64();

        let (info, precision) = (engine.adapter(), engine.precision().name());
        if self.json {
            let decisions = decisions.iter().map(|d| {
                let candidates = d.candidates.iter().map(|(name, ms)| json!({ "name": name, "ms": ms }));
                let taken = d.taken.then_some(&d.candidates[d.best].0);
                json!({
                    "name": d.decision.name(), "default_ms": d.default_ms, "candidates": candidates.collect::<Vec<_>>(), "taken": taken,
                })
            });
            return print_json(&json!({
                "model": name, "adapter": info.name, "driver": info.driver, "precision": precision, "batch": self.batch,
                "clock": clock_of(&engine), "decisions": decisions.collect::<Vec<_>>(),
                "network": network.map(|[before, after]| json!({ "default_ms": before, "tuned_ms": after, "ratio": after / before })),
                "choice": choice, "file": file, "stored": stored, "seconds": seconds,
            }));
        }
        print(&bold(&format!("{title}, batch {}, {h} x {w}, {precision}", self.batch)))?;
        print(&format!("medians of {rounds} rounds in turn, {}\n", clock_of(&engine)))?;
        let head = [
            ("decision", Align::Left),
            ("default ms", Align::Right),
            ("best candidate", Align::Left),
            ("ms", Align::Right),
            ("ratio", Align::Right),
            ("taken", Align::Left),
        ];
        let rows: Vec<Vec<String>> = decisions.iter().map(Measured::row).collect();
        print(&table(&head, &rows))?;
        let tiles = "candidates: invocations x pixels x blocks of four channels of an invocation, input blocks loaded at a time";
        print(&format!("\n{}", dim(tiles)))?;
        if let Some([before, after]) = network {
            let ratio = after / before;
            print(&format!("whole network: default {} ms, tuned {} ms, ratio {ratio:.2}", number(before), number(after)))?;
        }
        print(&match (network, stored) {
            (None, _) => "no candidate is 5 % faster: the default stays".to_string(),
            (_, false) => "the whole network is slower: the default stays".to_string(),
            (_, true) => format!("stored: {} (`ghostnet tune --reset` removes it)", file.display()),
        })?;
        print(&format!("took {seconds:.0} s"))?;
        aside(&format!("on {}, {}", adapter(info), info.driver));
        Ok(())
    }
}

impl Measured {
    fn row(&self) -> Vec<String> {
        let (name, ms) = &self.candidates[self.best];
        vec![
            self.decision.name().into(),
            number(self.default_ms),
            name.clone(),
            number(*ms),
            format!("{:.2}", ms / self.default_ms),
            if self.taken { "yes" } else { "no" }.into(),
        ]
    }
}

impl Tuner<'_> {
    fn plan(&mut self, choice: &Choice) -> Result<Plan> {
        let precision = self.engine.precision();
        let options = PlanOptions { form: Form::Tensors, precision, choice: *choice, normalise: [[0.0; 3]; 2] };
        Ok(Plan::new(self.graph, &self.inputs, &options, &mut self.packed)?)
    }

    /// Measures what a decision changes, and puts a candidate that is faster into `choice`; `None`
    /// if it changes nothing in this network.
    fn decide(&mut self, decision: Decision, choice: &mut Choice) -> Result<Option<Measured>> {
        let default = self.plan(choice)?;
        let mut names = HashSet::new();
        let mut candidates = Vec::new();
        for (name, candidate) in decision.candidates(choice) {
            let plan = self.plan(&candidate)?;
            let different: Vec<String> = different(&default, &plan).chain(different(&plan, &default)).collect();
            if !different.is_empty() {
                names.extend(different);
                candidates.push((name, candidate, plan));
            }
        }
        if candidates.is_empty() {
            return Ok(None);
        }
        let steps = |plan: &Plan| plan.part(&(0..plan.steps.len()).filter(|&s| names.contains(&plan.steps[s].name)).collect::<Vec<_>>());
        let plans: Vec<Plan> = [&default].into_iter().chain(candidates.iter().map(|(_, _, plan)| plan)).map(steps).collect();
        let ms = self.measure(plans)?;
        let (default_ms, ms) = (ms[0], &ms[1..]);
        let best = (0..ms.len()).min_by(|&a, &b| ms[a].total_cmp(&ms[b])).unwrap_or(0);
        let taken = ms[best] <= ENOUGH * default_ms;
        if taken {
            *choice = candidates[best].1;
        }
        let candidates = candidates.into_iter().zip(ms).map(|((name, _, _), &ms)| (name, ms)).collect();
        Ok(Some(Measured { decision, default_ms, candidates, best, taken }))
    }

    /// The whole network with each choice.
    fn network(&mut self, choices: &[Choice; 2]) -> Result<[f64; 2]> {
        let plans = choices.iter().map(|choice| self.plan(choice)).collect::<Result<_>>()?;
        let ms = self.measure(plans)?;
        Ok([ms[0], ms[1]])
    }

    /// Milliseconds of each plan: medians of rounds in which they take turns.
    fn measure(&self, plans: Vec<Plan>) -> Result<Vec<f64>> {
        let timed = plans.into_iter().map(|plan| pollster::block_on(Timed::new(self.engine, plan, self.pass_ms)));
        let mut timed = timed.collect::<ghostnet::Result<Vec<_>>>()?;
        pollster::block_on(alternate(&mut timed, self.rounds))?;
        Ok(timed.iter().map(Timed::median).collect())
    }
}

/// Names of the steps of `of` that `than` does not have in the same form.
fn different<'a>(of: &'a Plan, than: &'a Plan) -> impl Iterator<Item = String> + 'a {
    let same = |step: &&ghostnet::plan::Step| than.steps.iter().any(|s| s.name == step.name && s.dispatch == step.dispatch);
    of.steps.iter().filter(move |step| !same(step)).map(|step| step.name.clone())
}
