//! A network on a device.

use super::{
    device::{Device, Engine},
    results::{Class, Feature, GhostMaps},
};
use crate::{
    Error, Result, clock, cpu,
    gpu::{self, PrepareTimes},
    graph::{Graph, Shape, passes},
    image_input::{Preprocess, Readable, Resize, resample},
    kernels::resize::Rows,
    model::Network,
    parallel::*,
    plan::{ConstantCache, Form, Plan, PlanOptions, Precision},
    stats::median,
    tensor::Tensor,
    text::{Sides, decimal},
};
use image::DynamicImage;
use std::{
    borrow::Cow,
    ops::Range,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

impl Engine {
    /// Puts a network on the device: runs the passes on its graph. Weights go up and pipelines are
    /// compiled when first needed, or by [`Model::prepare`].
    pub fn load(&self, network: Network) -> Result<Model> {
        let part = Part::new(self.fuse(network.graph()?));
        Ok(Model {
            inner: Arc::new(ModelInner {
                engine: self.clone(),
                network,
                logits: part,
                features: OnceLock::new(),
                resizes: Mutex::default(),
                ghosts: Mutex::default(),
            }),
        })
    }

    /// Puts any graph on the device.
    pub fn load_graph(&self, graph: Graph) -> Result<GraphModel> {
        Ok(GraphModel { engine: self.clone(), part: Arc::new(Part::new(self.fuse(graph))) })
    }

    fn fuse(&self, mut graph: Graph) -> Graph {
        passes::run(&mut graph, passes::REQUIRED);
        if !self.inner.options.unfused {
            passes::run(&mut graph, passes::FUSING);
        }
        graph
    }
}

/// A graph on a device, with what was made for it: weights, and plans ready to run.
#[derive(Debug)]
pub(super) struct Part {
    graph: Graph,
    cache: Mutex<ConstantCache>,
    weights: gpu::Weights,
    idle: Mutex<Vec<Runner>>,
}

/// Plans that are kept ready when no run uses them; beyond this the least recently used goes.
const MAX_IDLE: usize = 4;

/// A plan that is ready to run.
pub(super) struct Runner {
    pub plan: Arc<Plan>,
    normalise: [[f32; 3]; 2],
    pub kind: RunnerKind,
}

pub(super) enum RunnerKind {
    Gpu(Box<gpu::Prepared>),
    Cpu(Box<cpu::Prepared>),
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Runner({} steps)", self.plan.steps.len())
    }
}

/// What goes into a run.
pub(super) enum Input<'a> {
    Tensor(&'a [f32]),
    Pixels(&'a [u32]),
}

/// What comes out of a run: the values of each output's slot up to the output's end, f32 whatever
/// the precision.
pub(super) type Slots = Vec<Vec<u32>>;

/// The bytes of a plan's input slot; `packed` takes what is between.
pub(super) fn bytes<'a>(plan: &Plan, input: Input<'a>, packed: &'a mut Vec<f32>) -> Cow<'a, [u8]> {
    match input {
        Input::Pixels(pixels) => Cow::Borrowed(bytemuck::cast_slice(pixels)),
        Input::Tensor(values) => {
            plan.pack_input(values, packed);
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

impl Runner {
    async fn run(&mut self, input: Input<'_>) -> Result<Slots> {
        let plan = self.plan.clone();
        let mut packed = match input {
            Input::Tensor(_) => cpu::room("input", plan.input.shape.n * plan.input.layout.lanes().len() * plan.input.shape.pixels())?,
            Input::Pixels(_) => Vec::new(),
        };
        self.run_bytes(&bytes(&plan, input, &mut packed)).await
    }

    pub async fn run_bytes(&mut self, bytes: &[u8]) -> Result<Slots> {
        match &mut self.kind {
            RunnerKind::Gpu(prepared) => Ok(slots(&self.plan, prepared.run(bytes).await?)),
            RunnerKind::Cpu(prepared) => {
                let slot: &mut [u8] = bytemuck::cast_slice_mut(prepared.input_mut());
                slot[..bytes.len()].copy_from_slice(bytes);
                prepared.run();
                Ok(self.plan.outputs.iter().map(|o| bytemuck::cast_slice(&prepared.slot(o.slot)[..o.bytes / 4]).to_vec()).collect())
            }
        }
    }
}

impl Part {
    fn new(graph: Graph) -> Self {
        Self { graph, cache: Mutex::default(), weights: gpu::Weights::default(), idle: Mutex::default() }
    }

    fn plan(&self, engine: &Engine, shape: Shape, form: Form, normalise: [[f32; 3]; 2]) -> Result<Plan> {
        self.check_bytes(shape)?;
        let options = PlanOptions { form, precision: engine.inner.options.precision, choice: engine.inner.choice, normalise };
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        Plan::new(&self.graph, shape, &options, &mut cache)
    }

    /// Sizes in bytes are `usize`, which counts to 4 GiB in a browser: no tensor may have more than
    /// half of that, for lanes may pad it.
    fn check_bytes(&self, input: Shape) -> Result<()> {
        let limit = isize::MAX as u64;
        for (node, Shape { n, c, h, w }) in self.graph.nodes().iter().zip(self.graph.shapes(input)?) {
            let needed = [c, h, w, size_of::<f32>()].into_iter().fold(n as u64, |count, factor| count.saturating_mul(factor as u64));
            if needed > limit {
                return Err(Error::Limit { what: format!("`{}` of input {input}: bytes", node.name), needed, limit });
            }
        }
        Ok(())
    }

    /// A runner for this shape and form: an idle one, or a new one.
    async fn runner(&self, engine: &Engine, shape: Shape, form: Form, normalise: [[f32; 3]; 2]) -> Result<(Runner, PrepareTimes)> {
        {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let fits = |r: &Runner| r.plan.input.shape == shape && r.plan.form == form && r.normalise == normalise;
            if let Some(at) = idle.iter().rposition(fits) {
                return Ok((idle.remove(at), PrepareTimes::default()));
            }
        }
        let start = clock::now();
        let plan = Arc::new(self.plan(engine, shape, form, normalise)?);
        let planned = clock::now() - start;
        let (kind, mut times) = match &engine.inner.device {
            Device::Gpu(context) => {
                let (prepared, times) = gpu::Prepared::new(context, plan.clone(), &self.weights).await?;
                (RunnerKind::Gpu(Box::new(prepared)), times)
            }
            Device::Cpu(_) => (RunnerKind::Cpu(Box::new(cpu::Prepared::new(plan.clone())?)), PrepareTimes::default()),
        };
        times.weights += planned;
        Ok((Runner { plan, normalise, kind }, times))
    }

    /// Puts a runner back for the next run. One that failed is dropped instead.
    fn keep(&self, runner: Runner) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(runner);
        if idle.len() > MAX_IDLE {
            idle.remove(0);
        }
    }

    async fn run(
        &self,
        engine: &Engine,
        shape: Shape,
        form: Form,
        normalise: [[f32; 3]; 2],
        input: Input<'_>,
    ) -> Result<(Arc<Plan>, Slots)> {
        let (mut runner, _) = self.runner(engine, shape, form, normalise).await?;
        let slots = runner.run(input).await?;
        let plan = runner.plan.clone();
        self.keep(runner);
        Ok((plan, slots))
    }

    /// The shape of an input, if it can be one.
    pub fn check(&self, engine: &Engine, input: &Tensor) -> Result<Shape> {
        let &[n, c, h, w] = &input.shape[..] else {
            return Err(Error::shape("input", format!("has shape {}, [n, c, h, w] is needed", Sides(&input.shape))));
        };
        let shape = Shape::new(n, c, h, w);
        let count = shape.checked_count().unwrap_or(usize::MAX);
        if count != input.data.len() {
            return Err(Error::shape("input", format!("shape {shape} has {count} values, {} were given", input.data.len())));
        }
        if let Some(at) = input.data.iter().position(|v| !v.is_finite()) {
            return Err(Error::shape("input", format!("value {at} is {}", decimal(input.data[at].into()))));
        }
        let largest = half::f16::MAX.to_f32();
        if engine.precision().is_f16()
            && let Some(at) = input.data.iter().position(|v| v.abs() > largest)
        {
            let [value, most] = [input.data[at], largest].map(|v| decimal(v.into()));
            return Err(Error::shape("input", format!("value {at} is {value}, f16 holds up to {most}")));
        }
        Ok(shape)
    }

    async fn run_tensors(&self, engine: &Engine, input: &Tensor) -> Result<Vec<(String, Tensor)>> {
        let shape = self.check(engine, input)?;
        let (plan, slots) = self.run(engine, shape, Form::Tensors, [[0.0; 3]; 2], Input::Tensor(&input.data)).await?;
        let outputs = plan.outputs.iter().zip(&slots);
        Ok(outputs
            .map(|(output, slot)| {
                let Shape { n, c, h, w } = output.shape;
                (output.name.clone(), Tensor { shape: vec![n, c, h, w], data: output.unpack(bytemuck::cast_slice(slot)) })
            })
            .collect())
    }

    async fn profile(&self, engine: &Engine, shape: Shape, rounds: usize) -> Result<(Arc<Plan>, Vec<f64>)> {
        let (mut runner, _) = self.runner(engine, shape, Form::Tensors, [[0.0; 3]; 2]).await?;
        // What the slots hold is as good as any input for timing, once something finite is there.
        runner.run(Input::Tensor(&vec![0.5; shape.count()])).await?;
        let times = match &mut runner.kind {
            RunnerKind::Gpu(prepared) => prepared.profile(rounds).await?,
            RunnerKind::Cpu(prepared) => {
                let rounds: Vec<Vec<f64>> = (0..rounds.max(1)).map(|_| prepared.run_timed()).collect();
                (0..runner.plan.steps.len()).map(|s| median(rounds.iter().map(|r| r[s]).collect())).collect()
            }
        };
        let plan = runner.plan.clone();
        self.keep(runner);
        Ok((plan, times))
    }
}

/// A network on a device. It is cheap to clone. Several threads may use it, and each then gets
/// buffers of its own.
#[derive(Debug, Clone)]
pub struct Model {
    pub(super) inner: Arc<ModelInner>,
}

#[derive(Debug)]
pub(super) struct ModelInner {
    engine: Engine,
    network: Network,
    pub logits: Part,
    features: OnceLock<Part>,
    /// How images of the last sizes are resized, the newest last.
    resizes: Mutex<Vec<Arc<Resize>>>,
    /// Up to the module that was asked for last.
    ghosts: Mutex<Option<Arc<GhostPart>>>,
}

#[derive(Debug)]
struct GhostPart {
    module: String,
    part: Part,
    intrinsic: usize,
}

/// Sizes of images that are kept.
const MAX_RESIZES: usize = 8;

pub(super) fn gpu_images<'a>(resizes: Vec<Arc<Resize>>, images: &'a [Readable<'_>]) -> Vec<gpu::Image<'a>> {
    let pairs = resizes.into_iter().zip(images);
    pairs.map(|(resize, image)| gpu::Image { resize: resize.problem(), source: gpu::Source::Buffer(image) }).collect()
}

/// The smallest input side of GhostNet: its last maps are then of one pixel, with the usual stem.
pub const MIN_SIDE: usize = 32;

impl Model {
    /// The engine it runs on.
    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.inner.network
    }

    /// The graph after the passes.
    pub fn graph(&self) -> &Graph {
        &self.inner.logits.graph
    }

    /// The plan for a batch of images of `h` x `w` pixels: what [`Model::run`] will do.
    pub fn plan(&self, n: usize, h: usize, w: usize, form: Form) -> Result<Plan> {
        let shape = self.input_shape(n, h, w)?;
        self.inner.logits.plan(self.engine(), shape, form, self.normalise())
    }

    fn input_shape(&self, n: usize, h: usize, w: usize) -> Result<Shape> {
        if h < MIN_SIDE || w < MIN_SIDE {
            return Err(Error::shape("input", format!("{h} x {w} pixels, at least {MIN_SIDE} x {MIN_SIDE} are needed")));
        }
        if n == 0 {
            return Err(Error::shape("input", "a batch of 0 images"));
        }
        Ok(Shape::new(n, 3, h, w))
    }

    /// Whether inputs of this shape are none that [`Model::run_async`] refuses for their size
    /// alone: before one is copied to this program's memory.
    #[cfg(all(target_arch = "wasm32", feature = "web"))]
    pub(crate) fn check_input(&self, shape: &[usize]) -> Result<()> {
        match *shape {
            [n, 3, h, w] => self.inner.logits.check_bytes(self.input_shape(n, h, w)?),
            // Refused in other words.
            _ => Ok(()),
        }
    }

    fn normalise(&self) -> [[f32; 3]; 2] {
        let Preprocess { mean, std, .. } = self.inner.network.preprocess();
        [*mean, *std]
    }

    /// Makes everything a run needs ahead of the first: weights, buffers, pipelines. Returns how
    /// long that took.
    pub async fn prepare_async(&self, n: usize, h: usize, w: usize, form: Form) -> Result<PrepareTimes> {
        let (runner, times) = self.runner(n, h, w, form).await?;
        self.inner.logits.keep(runner);
        Ok(times)
    }

    pub(super) async fn runner(&self, n: usize, h: usize, w: usize, form: Form) -> Result<(Runner, PrepareTimes)> {
        let normalise = if form == Form::Tensors { [[0.0; 3]; 2] } else { self.normalise() };
        let is_tensors = form == Form::Tensors;
        let (mut runner, mut times) = self.inner.logits.runner(self.engine(), self.input_shape(n, h, w)?, form, normalise).await?;
        if let RunnerKind::Gpu(prepared) = &mut runner.kind
            && !is_tensors
        {
            // What a browser holds comes as a texture, whoever resizes what is in memory.
            let texture = cfg!(target_arch = "wasm32");
            if texture || self.engine().resizes_on_device() {
                times.pipelines += prepared.prepare_images(texture).await?;
            }
        }
        Ok((runner, times))
    }

    /// Logits `[n, classes]` of a normalised input `[n, 3, h, w]`, `h` and `w` at least 32.
    ///
    /// On native targets the calling thread waits for the device.
    pub async fn run_async(&self, input: &Tensor) -> Result<Tensor> {
        if let &[n, _, h, w] = &input.shape[..] {
            self.input_shape(n, h, w)?;
        }
        let mut results = self.inner.logits.run_tensors(self.engine(), input).await?;
        let (_, logits) = results.pop().ok_or_else(|| Error::Model("the graph has no result".into()))?;
        Ok(Tensor { shape: logits.shape[..2].to_vec(), data: logits.data })
    }

    /// The maps at each resolution, for detection heads, of a normalised input `[n, 3, h, w]`. They
    /// are the five that timm's `features_only=True` gives. See [`Network::feature_graph`].
    pub async fn features_async(&self, input: &Tensor) -> Result<Vec<Feature>> {
        let &[n, _, h, w] = &input.shape[..] else {
            return Err(Error::shape("input", format!("has shape {}, [n, 3, h, w] is needed", Sides(&input.shape))));
        };
        self.input_shape(n, h, w)?;
        if self.inner.features.get().is_none() {
            let part = Part::new(self.engine().fuse(self.inner.network.feature_graph()?));
            // Another thread may have been first; both made the same.
            let _ = self.inner.features.set(part);
        }
        let part = self.inner.features.get().expect("set above");
        let results = part.run_tensors(self.engine(), input).await?;
        let stem = self.inner.network.architecture().stem_stride;
        Ok(results.into_iter().enumerate().map(|(at, (name, tensor))| Feature { name, reduction: stem << at, tensor }).collect())
    }

    /// The maps of one of [`Network::ghost_modules`] for a normalised input `[n, 3, h, w]`. A
    /// module that is asked for again is ready.
    pub async fn ghost_maps_async(&self, input: &Tensor, module: &str) -> Result<GhostMaps> {
        let &[n, _, h, w] = &input.shape[..] else {
            return Err(Error::shape("input", format!("has shape {}, [n, 3, h, w] is needed", Sides(&input.shape))));
        };
        self.input_shape(n, h, w)?;
        let lock = || self.inner.ghosts.lock().unwrap_or_else(PoisonError::into_inner);
        let ready = lock().clone().filter(|ready| ready.module == module);
        let ready = match ready {
            Some(ready) => ready,
            None => {
                let (graph, intrinsic) = self.inner.network.ghost_graph(module)?;
                let part = Part::new(self.engine().fuse(graph));
                lock().insert(Arc::new(GhostPart { module: module.into(), part, intrinsic })).clone()
            }
        };
        let mut results = ready.part.run_tensors(self.engine(), input).await?;
        let (_, maps) = results.pop().ok_or_else(|| Error::Model("the graph has no result".into()))?;
        let [n, c, h, w] = maps.shape[..] else { unreachable!("results are [n, c, h, w]") };
        let channels = |range: Range<usize>| {
            let image = |n: usize| &maps.data[(n * c + range.start) * h * w..(n * c + range.end) * h * w];
            Tensor { shape: vec![n, range.len(), h, w], data: (0..n).flat_map(image).copied().collect() }
        };
        Ok(GhostMaps { intrinsic: channels(0..ready.intrinsic), ghost: channels(ready.intrinsic..c) })
    }

    /// The `top` most probable classes of an image, best first (all classes, if there are fewer).
    pub async fn classify_async(&self, image: &DynamicImage, top: usize) -> Result<Vec<Class>> {
        Ok(self.classify_batch_async(std::slice::from_ref(image), top).await?.remove(0))
    }

    /// As [`Model::classify_async`] for several images in one run.
    pub async fn classify_batch_async(&self, images: &[DynamicImage], top: usize) -> Result<Vec<Vec<Class>>> {
        let Some(resizes) = self.on_device(images)? else {
            return self.classify_pixels_async(&self.pixels_of(images)?, images.len(), top).await;
        };
        let readable: Vec<_> = images.iter().map(Readable::new).collect();
        self.classify_on_device(&gpu_images(resizes, &readable), top).await
    }

    /// The `top` most probable classes of what a browser holds, of `width` x `height` pixels: an
    /// image, a canvas, a frame of a video. The GPU resizes it, and none of its pixels passes
    /// through this program's memory.
    ///
    /// Errors: [`Error::Unsupported`] on the CPU. [`Error::Limit`] where the part that the crop
    /// needs is larger than a texture may be. [`Error::Image`] where the browser does not copy it
    /// to one: another site's pixels, 16 bits a channel, a canvas that nobody drew on.
    #[cfg(target_arch = "wasm32")]
    pub async fn classify_external_async(&self, source: &wasm_bindgen::JsValue, width: u32, height: u32, top: usize) -> Result<Vec<Class>> {
        let image = gpu::Image { resize: self.resize(height, width)?.problem(), source: gpu::Source::External(source) };
        Ok(self.classify_on_device(&[image], top).await?.remove(0))
    }

    /// The `top` most probable classes of images that the device resizes.
    async fn classify_on_device(&self, images: &[gpu::Image<'_>], top: usize) -> Result<Vec<Vec<Class>>> {
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let [h, w] = self.inner.network.preprocess().size;
        let form = Form::Classify { k: top.clamp(1, self.inner.network.classes()) };
        let (mut runner, _) = self.runner(images.len(), h, w, form).await?;
        let RunnerKind::Gpu(prepared) = &mut runner.kind else {
            let what = "resizes images in memory, and none that a browser holds".into();
            return Err(Error::Unsupported { adapter: self.engine().adapter().name.clone(), what });
        };
        let run = match prepared.submit_images(images).await {
            Err(error @ Error::Image { .. }) => {
                // Nothing was submitted.
                self.inner.logits.keep(runner);
                return Err(error);
            }
            run => run?,
        };
        let outputs = run.wait().await?;
        let classes = self.classes(&runner.plan, &slots(&runner.plan, outputs), images.len());
        self.inner.logits.keep(runner);
        Ok(classes)
    }

    /// How each of the images is resized, if the device does it rather than the CPU.
    pub(super) fn on_device(&self, images: &[DynamicImage]) -> Result<Option<Vec<Arc<Resize>>>> {
        let Some(context) = self.engine().gpu().filter(|_| self.engine().resizes_on_device()) else { return Ok(None) };
        let resizes = images.iter().map(|image| self.resize(image.height(), image.width())).collect::<Result<Vec<_>>>()?;
        // One that is too large for the device's buffers, and the CPU resizes them all.
        Ok(resizes.iter().all(|resize| context.takes(&resize.problem())).then_some(resizes))
    }

    /// How images of a size become the network's input.
    fn resize(&self, height: u32, width: u32) -> Result<Arc<Resize>> {
        let size = [height as usize, width as usize];
        let lock = || self.inner.resizes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resize) = lock().iter().find(|resize| resize.source() == size) {
            return Ok(resize.clone());
        }
        let resize = Arc::new(self.inner.network.preprocess().resize(size)?);
        let mut resizes = lock();
        resizes.push(resize.clone());
        if resizes.len() > MAX_RESIZES {
            resizes.remove(0);
        }
        Ok(resize)
    }

    /// An image resized and cropped to the network's input, one RGBA8 word a pixel (red lowest).
    pub fn pixels(&self, image: &DynamicImage) -> Result<Vec<u32>> {
        self.pixels_of_rows(&Readable::new(image), image.height(), image.width())
    }

    /// As [`Model::pixels`], of an image of `height` x `width` pixels in memory.
    pub fn pixels_of_rows(&self, image: &dyn Rows, height: u32, width: u32) -> Result<Vec<u32>> {
        let rgb = resample::resize(&*self.resize(height, width)?, image);
        Ok(rgb.as_chunks().0.iter().map(|&[r, g, b]| u32::from_le_bytes([r, g, b, 255])).collect())
    }

    /// As [`Model::pixels`], of several images, one after the other.
    pub(super) fn pixels_of(&self, images: &[DynamicImage]) -> Result<Vec<u32>> {
        let pixels: Vec<Vec<u32>> = images.par_iter().map(|image| self.pixels(image)).collect::<Result<_>>()?;
        Ok(pixels.concat())
    }

    /// Classifies `n` images that [`Model::pixels`] has made, one after the other in `pixels`.
    pub async fn classify_pixels_async(&self, pixels: &[u32], n: usize, top: usize) -> Result<Vec<Vec<Class>>> {
        if n == 0 {
            return Ok(Vec::new());
        }
        let [h, w] = self.inner.network.preprocess().size;
        let shape = self.input_shape(n, h, w)?;
        if pixels.len() != n * shape.pixels() {
            return Err(Error::shape(
                "input",
                format!("a batch of {n} at {h} x {w} has {} pixels, {} were given", n * h * w, pixels.len()),
            ));
        }
        let k = top.clamp(1, self.inner.network.classes());
        let part = &self.inner.logits;
        let (plan, slots) = part.run(self.engine(), shape, Form::Classify { k }, self.normalise(), Input::Pixels(pixels)).await?;
        Ok(self.classes(&plan, &slots, n))
    }

    /// Each image's classes, of a plan that classifies.
    pub(super) fn classes(&self, plan: &Plan, slots: &Slots, images: usize) -> Vec<Vec<Class>> {
        let class = |pair: &[u32]| {
            let index = pair[0] as usize;
            Class { index, label: self.inner.network.label(index), probability: f32::from_bits(pair[1]) }
        };
        let table = slots[0].chunks_exact(slots[0].len() / plan.input.shape.n);
        table.take(images).map(|image| image.chunks_exact(2).map(class).collect()).collect()
    }

    /// The plan for a batch, and the milliseconds of each of its steps: medians of `rounds` rounds.
    /// On a GPU its timestamps tell them.
    pub async fn profile_async(&self, n: usize, h: usize, w: usize, rounds: usize) -> Result<(Arc<Plan>, Vec<f64>)> {
        self.inner.logits.profile(self.engine(), self.input_shape(n, h, w)?, rounds).await
    }
}

/// A graph of one's own on a device.
#[derive(Debug, Clone)]
pub struct GraphModel {
    engine: Engine,
    part: Arc<Part>,
}

impl GraphModel {
    /// The graph after the passes.
    pub fn graph(&self) -> &Graph {
        &self.part.graph
    }

    /// The plan for an input `[n, c, h, w]`.
    pub fn plan(&self, input: Shape) -> Result<Plan> {
        self.part.plan(&self.engine, input, Form::Tensors, [[0.0; 3]; 2])
    }

    /// Every result of the graph by name, each `[n, c, h, w]`.
    pub async fn run_async(&self, input: &Tensor) -> Result<Vec<(String, Tensor)>> {
        self.part.run_tensors(&self.engine, input).await
    }

    /// The plan for an input, and the milliseconds of each of its steps: medians of `rounds`
    /// rounds.
    pub async fn profile_async(&self, input: Shape, rounds: usize) -> Result<(Arc<Plan>, Vec<f64>)> {
        self.part.profile(&self.engine, input, rounds).await
    }
}
