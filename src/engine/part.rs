//! A graph on a device, with its plans ready to run.

use super::device::{Device, Engine};
#[cfg(not(target_arch = "wasm32"))]
use super::last;
use crate::{
    Error, Result, clock, cpu,
    gpu::{self, PrepareTimes},
    graph::{Graph, Shape, passes},
    plan::{ConstantCache, Form, Plan, PlanInput, PlanOptions, PlanOutput, Precision},
    stats::median,
    tensor::{AnyTensor, Tensor, Values},
    text::Sides,
    wait::{apart, apart_async, may_block},
};
#[cfg(not(target_arch = "wasm32"))]
use crate::{image_input::sample::Window, kernels::sample, plan::Stage};
use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
};

/// A graph on a device, with what was made for it: weights, and plans ready to run.
#[derive(Debug)]
pub(super) struct Part {
    pub graph: Graph,
    cache: Mutex<ConstantCache>,
    weights: gpu::Weights,
    idle: Mutex<Vec<Runner>>,
}

/// Plans that are kept ready when no run uses them; beyond this the least recently used goes.
const MAX_IDLE: usize = 4;

/// What a plan is made for: shapes of its inputs, and what goes in and out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Request {
    pub shapes: Vec<Shape>,
    pub form: Form,
    /// Mean and standard deviation of the input's channels, where the plan takes pixels.
    pub normalise: [[f32; 3]; 2],
}

impl Request {
    /// Of every result of normalised tensors of these shapes.
    pub fn of_tensors(shapes: Vec<Shape>) -> Self {
        Self { shapes, form: Form::Tensors, normalise: [[0.0; 3]; 2] }
    }
}

/// A plan that is ready to run.
pub(super) struct Runner {
    pub plan: Arc<Plan>,
    request: Request,
    pub kind: RunnerKind,
    #[cfg(not(target_arch = "wasm32"))]
    pub kept: Kept,
}

/// What runs on pictures leave for the next one, so that it allocates nothing large.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Default)]
pub(super) struct Kept {
    /// How a device samples these windows of a picture of so many rows and columns.
    pub sample: Option<([usize; 2], Vec<Window>, sample::Problem)>,
    /// The input's values, and as the plan takes them.
    pub input: Vec<f32>,
    packed: Vec<f32>,
    /// Some of the results by name.
    pub results: Vec<(String, AnyTensor)>,
}

pub(super) enum RunnerKind {
    Gpu(Box<gpu::Prepared>),
    /// Shared with the thread that computes.
    Cpu(Arc<Mutex<cpu::Prepared>>),
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Runner({} steps)", self.plan.steps.len())
    }
}

/// What goes into a run.
pub(super) enum Feed<'a> {
    /// The values of each input.
    Tensors(&'a [&'a [f32]]),
    Pixels(&'a [u32]),
}

/// What comes out of a run: the values of each output's slot up to the output's end, f32 whatever
/// the precision.
pub(super) type Slots = Vec<Vec<u32>>;

/// The bytes of a plan's inputs; `packed` takes what is between.
pub(super) fn bytes<'a>(plan: &Plan, feed: Feed<'a>, packed: &'a mut Vec<f32>) -> Cow<'a, [u8]> {
    match feed {
        Feed::Pixels(pixels) => Cow::Borrowed(bytemuck::cast_slice(pixels)),
        Feed::Tensors(tensors) => {
            plan.pack_inputs(tensors, packed);
            plan.precision.to_bytes(packed)
        }
    }
}

/// What a GPU gave.
pub(super) fn slots(plan: &Plan, outputs: Vec<Vec<u8>>) -> Slots {
    // A table of classes is of whole words in any precision.
    let precision = if plan.form == Form::Tensors { plan.precision } else { Precision::F32 };
    outputs.iter().map(|bytes| bytemuck::cast_vec(precision.from_bytes(bytes))).collect()
}

/// What a plan gave by name, of its first `images` images.
pub(super) fn results(plan: &Plan, slots: &Slots, images: usize) -> Vec<(String, AnyTensor)> {
    plan.outputs.iter().zip(slots).map(|(output, slot)| result(output, slot, images)).collect()
}

pub(super) fn result(output: &PlanOutput, slot: &[u32], images: usize) -> (String, AnyTensor) {
    let mut data = output.unpack(bytemuck::cast_slice(slot));
    let shape = Shape { n: images.min(output.shape.n), ..output.shape };
    data.truncate(shape.count());
    (output.name.clone(), Tensor { shape: output.lengths(shape), data: Values::from_f32(data, output.tensor.element) })
}

/// Tensors that fit a graph's inputs, in the graph's order, as it computes with them.
pub(super) struct Given<'a> {
    pub shapes: Vec<Shape>,
    values: Vec<Cow<'a, [f32]>>,
}

impl Given<'_> {
    pub fn values(&self) -> Vec<&[f32]> {
        self.values.iter().map(|values| &**values).collect()
    }
}

impl Runner {
    async fn run(&mut self, feed: Feed<'_>) -> Result<Slots> {
        let plan = self.plan.clone();
        let mut packed = match feed {
            Feed::Tensors(_) => cpu::room("input", plan.inputs.iter().map(packed_len).sum())?,
            Feed::Pixels(_) => Vec::new(),
        };
        self.run_bytes(&bytes(&plan, feed, &mut packed)).await
    }

    pub async fn run_bytes(&mut self, bytes: &[u8]) -> Result<Slots> {
        match &mut self.kind {
            RunnerKind::Gpu(prepared) => Ok(slots(&self.plan, prepared.run(bytes).await?)),
            RunnerKind::Cpu(prepared) if may_block() => Ok(compute(&self.plan, prepared, bytes)),
            RunnerKind::Cpu(prepared) => {
                let (plan, prepared, bytes) = (self.plan.clone(), prepared.clone(), bytes.to_vec());
                Ok(apart(move || compute(&plan, &prepared, &bytes)).await)
            }
        }
    }

    /// Milliseconds of each step, on what the last run left: medians of `rounds` rounds.
    pub async fn profile(&mut self, rounds: usize) -> Result<Vec<f64>> {
        match &mut self.kind {
            RunnerKind::Gpu(prepared) => prepared.profile(rounds).await,
            RunnerKind::Cpu(prepared) => {
                let mut prepared = prepared.lock().unwrap_or_else(PoisonError::into_inner);
                let rounds: Vec<Vec<f64>> = (0..rounds.max(1)).map(|_| prepared.run_timed()).collect();
                Ok((0..self.plan.steps.len()).map(|s| median(rounds.iter().map(|r| r[s]).collect())).collect())
            }
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Runner {
    /// What it was made for.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Runs a stage of the plan on values of its inputs. Its results by name.
    pub async fn run_stage(&mut self, stage: &Stage, values: &[&[f32]]) -> Result<Vec<(String, AnyTensor)>> {
        let plan = self.plan.clone();
        let mut packed = cpu::room("input", stage.inputs.iter().map(|&at| packed_len(&plan.inputs[at])).sum())?;
        plan.pack_stage(stage, values, &mut packed);
        let bytes = plan.precision.to_bytes(&packed);
        let slots = match &mut self.kind {
            RunnerKind::Gpu(prepared) => slots(&plan, prepared.run_stage(stage, &bytes).await?),
            RunnerKind::Cpu(prepared) if may_block() => compute_stage(&plan, prepared, stage, &bytes),
            RunnerKind::Cpu(prepared) => {
                let (plan, prepared, stage, bytes) = (plan.clone(), prepared.clone(), stage.clone(), bytes.into_owned());
                apart(move || compute_stage(&plan, &prepared, &stage, &bytes)).await
            }
        };
        Ok(stage.outputs.iter().zip(slots).map(|(&at, slot)| result(&plan.outputs[at], &slot, plan.batch())).collect())
    }

    /// What samples the windows in [`Runner::kept`], of a picture that is there: on a GPU.
    pub fn windows<'r>(&'r mut self, source: gpu::Source<'r>) -> (&'r mut gpu::Prepared, gpu::Windows<'r>) {
        let (RunnerKind::Gpu(prepared), Some((.., sample))) = (&mut self.kind, &self.kept.sample) else {
            unreachable!("a device samples them")
        };
        (prepared, gpu::Windows { sample, source })
    }

    /// Runs a plan of one input on the values in [`Runner::kept`], and leaves results there: those
    /// of these places among the plan's, each of f32.
    pub async fn run_kept(&mut self, outputs: &[usize]) -> Result<()> {
        let Self { plan, kind, kept, .. } = self;
        cpu::empty(&mut kept.packed, "input", plan.inputs.iter().map(packed_len).sum())?;
        plan.pack_inputs(&[&kept.input], &mut kept.packed);
        match kind {
            RunnerKind::Gpu(prepared) => {
                let slots = slots(plan, prepared.run(&plan.precision.to_bytes(&kept.packed)).await?);
                kept.take(plan, outputs, |at| bytemuck::cast_slice(&slots[at]));
            }
            RunnerKind::Cpu(prepared) if may_block() => compute_kept(plan, prepared, kept, outputs),
            RunnerKind::Cpu(prepared) => {
                let (plan, prepared, outputs, mut taken) = (plan.clone(), prepared.clone(), outputs.to_vec(), std::mem::take(kept));
                let compute = move || {
                    compute_kept(&plan, &prepared, &mut taken, &outputs);
                    taken
                };
                *kept = apart(compute).await;
            }
        }
        Ok(())
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Kept {
    /// Takes results out of what `slot` gives for their places among the plan's.
    fn take<'s>(&mut self, plan: &Plan, outputs: &[usize], slot: impl Fn(usize) -> &'s [f32]) {
        if self.results.len() != outputs.len() {
            self.results = outputs.iter().map(|&at| result(&plan.outputs[at], bytemuck::cast_slice(slot(at)), plan.batch())).collect();
            return;
        }
        for (&at, (_, tensor)) in outputs.iter().zip(&mut self.results) {
            let Values::F32(values) = &mut tensor.data else { unreachable!("it is of f32") };
            plan.outputs[at].unpack_to(slot(at), values);
        }
    }
}

/// Values of an input as a plan takes them, with those that pad its lanes.
fn packed_len(input: &PlanInput) -> usize {
    input.shape.n * input.layout.lanes().len() * input.shape.pixels()
}

/// Runs a plan on the CPU.
fn compute(plan: &Plan, prepared: &Mutex<cpu::Prepared>, bytes: &[u8]) -> Slots {
    let mut prepared = prepared.lock().unwrap_or_else(PoisonError::into_inner);
    prepared.set_inputs(bytes);
    prepared.run();
    results_of(&prepared, &plan.outputs)
}

/// Runs a stage of a plan on the CPU.
#[cfg(not(target_arch = "wasm32"))]
fn compute_stage(plan: &Plan, prepared: &Mutex<cpu::Prepared>, stage: &Stage, bytes: &[u8]) -> Slots {
    let mut prepared = prepared.lock().unwrap_or_else(PoisonError::into_inner);
    prepared.run_stage(stage, bytes);
    results_of(&prepared, stage.outputs.iter().map(|&at| &plan.outputs[at]))
}

/// Runs a plan on the CPU on what was packed for it.
#[cfg(not(target_arch = "wasm32"))]
fn compute_kept(plan: &Plan, prepared: &Mutex<cpu::Prepared>, kept: &mut Kept, outputs: &[usize]) {
    let mut prepared = prepared.lock().unwrap_or_else(PoisonError::into_inner);
    prepared.set_inputs(bytemuck::cast_slice(&kept.packed));
    prepared.run();
    kept.take(plan, outputs, |at| prepared.slot(plan.outputs[at].slot));
}

/// What lies in outputs' slots.
fn results_of<'p>(prepared: &cpu::Prepared, outputs: impl IntoIterator<Item = &'p PlanOutput>) -> Slots {
    outputs.into_iter().map(|o| bytemuck::cast_slice(&prepared.slot(o.slot)[..o.bytes / 4]).to_vec()).collect()
}

impl Part {
    /// Runs the passes on a graph that is to run on `engine`.
    pub fn new(engine: &Engine, mut graph: Graph) -> Self {
        passes::run(&mut graph, passes::REQUIRED);
        if !engine.inner.options.unfused {
            passes::run(&mut graph, passes::FUSING);
        }
        Self { graph, cache: Mutex::default(), weights: gpu::Weights::default(), idle: Mutex::default() }
    }

    pub fn plan(&self, engine: &Engine, request: &Request) -> Result<Plan> {
        self.check_bytes(&request.shapes)?;
        let options = PlanOptions {
            form: request.form.clone(),
            precision: engine.inner.options.precision,
            choice: engine.inner.choice,
            normalise: request.normalise,
        };
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        Plan::new(&self.graph, &request.shapes, &options, &mut cache)
    }

    /// Sizes in bytes are `usize`, which counts to 4 GiB in a browser: no tensor may have more than
    /// half of that, for lanes may pad it.
    pub fn check_bytes(&self, inputs: &[Shape]) -> Result<()> {
        let limit = isize::MAX as u64;
        for (node, Shape { n, c, h, w }) in self.graph.nodes().iter().zip(self.graph.shapes(inputs)?) {
            let needed = [c, h, w, size_of::<f32>()].into_iter().fold(n as u64, |count, factor| count.saturating_mul(factor as u64));
            if needed > limit {
                let inputs: Vec<String> = inputs.iter().map(Shape::to_string).collect();
                let what = format!("`{}` of input {}: bytes", node.name, inputs.join(" and "));
                return Err(Error::Limit { what, needed, limit });
            }
        }
        Ok(())
    }

    /// A runner for a request: an idle one, or a new one.
    pub async fn runner(self: &Arc<Self>, engine: &Engine, request: &Request) -> Result<(Runner, PrepareTimes)> {
        {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = idle.iter().rposition(|runner| runner.request == *request) {
                return Ok((idle.remove(at), PrepareTimes::default()));
            }
        }
        if may_block() {
            return self.make(engine, request).await;
        }
        // Packing and compiling take a while.
        let (part, engine, request) = (self.clone(), engine.clone(), request.clone());
        apart_async(move || async move { part.make(&engine, &request).await }).await
    }

    async fn make(&self, engine: &Engine, request: &Request) -> Result<(Runner, PrepareTimes)> {
        let start = clock::now();
        let plan = Arc::new(self.plan(engine, request)?);
        let planned = clock::now() - start;
        let (kind, mut times) = match &engine.inner.device {
            Device::Gpu(context) => {
                let (prepared, times) = gpu::Prepared::new(context, plan.clone(), &self.weights).await?;
                (RunnerKind::Gpu(Box::new(prepared)), times)
            }
            Device::Cpu(_) => {
                let prepared = cpu::Prepared::with(plan.clone(), &engine.cpu_options())?;
                (RunnerKind::Cpu(Arc::new(Mutex::new(prepared))), PrepareTimes::default())
            }
        };
        times.weights += planned;
        let runner = Runner {
            plan,
            request: request.clone(),
            kind,
            #[cfg(not(target_arch = "wasm32"))]
            kept: Kept::default(),
        };
        Ok((runner, times))
    }

    /// Puts a runner back for the next run. One that failed is dropped instead.
    pub fn keep(&self, runner: Runner) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(runner);
        if idle.len() > MAX_IDLE {
            idle.remove(0);
        }
    }

    pub async fn run(self: &Arc<Self>, engine: &Engine, request: &Request, feed: Feed<'_>) -> Result<(Arc<Plan>, Slots)> {
        let (mut runner, _) = self.runner(engine, request).await?;
        let slots = runner.run(feed).await?;
        let plan = runner.plan.clone();
        self.keep(runner);
        Ok((plan, slots))
    }

    /// The one tensor that the graph takes, if it fits.
    pub fn given_one<'a>(&self, engine: &Engine, tensor: &'a Tensor) -> Result<Given<'a>> {
        let [input] = self.graph.inputs() else {
            let names: Vec<&str> = self.graph.inputs().iter().map(|input| &*input.name).collect();
            if names.is_empty() {
                return Err(Error::Model("the graph has no input".into()));
            }
            return Err(Error::Model(format!("the network takes {} inputs, {}: name each", names.len(), names.join(", "))));
        };
        let shape = input.tensor.shape_of(&tensor.shape).map_err(|what| Error::shape(&input.name, what))?;
        let values = Cow::Borrowed(&tensor.data[..]);
        check(engine, &input.name, &tensor.shape, &values)?;
        Ok(Given { shapes: vec![shape], values: vec![values] })
    }

    /// The named tensors in the order of the graph's inputs, if each input has one and all fit.
    pub fn given<'a>(&self, engine: &Engine, tensors: &[(&str, &'a AnyTensor)]) -> Result<Given<'a>> {
        let inputs = self.graph.inputs();
        let names = || inputs.iter().map(|input| &*input.name).collect::<Vec<_>>().join(", ");
        if let Some((name, _)) = tensors.iter().find(|(name, _)| inputs.iter().all(|input| input.name != *name)) {
            return Err(Error::Model(format!("no input is called `{name}`: there are {}", names())));
        }
        let mut given = Given { shapes: Vec::new(), values: Vec::new() };
        for input in inputs {
            let mut named = tensors.iter().filter(|(name, _)| *name == input.name);
            let tensor = match (named.next(), named.next()) {
                (Some((_, tensor)), None) => tensor,
                (None, _) => return Err(Error::Model(format!("input `{}` is missing: there are {}", input.name, names()))),
                _ => return Err(Error::Model(format!("input `{}` is given twice", input.name))),
            };
            let wrong = |what| Error::shape(&input.name, what);
            if tensor.data.element() != input.tensor.element {
                let what = format!("holds {}, {} is needed", tensor.data.element().name(), input.tensor);
                return Err(wrong(what));
            }
            let values = tensor.data.to_f32().map_err(wrong)?;
            given.shapes.push(input.tensor.shape_of(&tensor.shape).map_err(wrong)?);
            check(engine, &input.name, &tensor.shape, &values)?;
            given.values.push(values);
        }
        Ok(given)
    }

    /// Every result of the graph by name, those of last steps too, of what a plan gave for its
    /// first `images` images.
    pub fn results(&self, plan: &Plan, slots: &Slots, images: usize) -> Result<Vec<(String, AnyTensor)>> {
        let given = results(plan, slots, images);
        #[cfg(not(target_arch = "wasm32"))]
        let given = last::results(&self.graph, given)?;
        Ok(given)
    }

    /// Every result of the graph by name.
    pub async fn run_given(self: &Arc<Self>, engine: &Engine, given: Given<'_>) -> Result<Vec<(String, AnyTensor)>> {
        let request = Request::of_tensors(given.shapes.clone());
        let (plan, slots) = self.run(engine, &request, Feed::Tensors(&given.values())).await?;
        self.results(&plan, &slots, plan.batch())
    }

    pub async fn profile(self: &Arc<Self>, engine: &Engine, request: &Request, rounds: usize) -> Result<(Arc<Plan>, Vec<f64>)> {
        let (mut runner, _) = self.runner(engine, request).await?;
        // What the slots hold is as good as any input for timing, once something finite is there.
        let halves: Vec<Vec<f32>> = request.shapes.iter().map(|shape| vec![0.5; shape.count()]).collect();
        runner.run(Feed::Tensors(&halves.iter().map(|values| &values[..]).collect::<Vec<_>>())).await?;
        let times = runner.profile(rounds).await?;
        let plan = runner.plan.clone();
        self.keep(runner);
        Ok((plan, times))
    }
}

/// Whether there are as many values as the shape says, all of which the precision holds.
pub(super) fn check(engine: &Engine, name: &str, shape: &[usize], values: &[f32]) -> Result<()> {
    let count = crate::tensor::count(shape).unwrap_or(usize::MAX);
    if count != values.len() {
        return Err(Error::shape(name, format!("shape {} has {count} values, {} were given", Sides(shape), values.len())));
    }
    engine.precision().check(name, values)
}
