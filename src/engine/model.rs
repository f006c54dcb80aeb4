//! A network on a device.

use super::{
    device::Engine,
    part::{Part, Request, Runner, RunnerKind},
    results::{Feature, GhostMaps, OnDevice},
};
use crate::{
    Error, Result,
    gpu::{self, PrepareTimes},
    graph::Graph,
    image_input::Resize,
    model::{Card, Network},
    plan::{Form, Plan},
    tensor::{AnyTensor, Tensor},
};
use std::sync::{Arc, Mutex, PoisonError, atomic::AtomicUsize};

impl Engine {
    /// Puts a network on the device: runs the passes on its graph. Weights go up and pipelines are
    /// compiled when first needed, or by [`Model::prepare`].
    pub fn load(&self, network: Network) -> Result<Model> {
        let results = Arc::new(Part::new(self, network.graph().clone()));
        let inner = ModelInner {
            engine: self.clone(),
            network,
            results,
            others: Mutex::default(),
            resizes: Mutex::default(),
            at_once: usize::MAX.into(),
        };
        Ok(Model { inner: Arc::new(inner) })
    }

    /// Puts a graph of one's own on the device, of which nothing else is known.
    pub fn load_graph(&self, graph: Graph) -> Result<Model> {
        self.load(Network::new(graph, Card::default())?)
    }
}

/// A network on a device. Cheap to clone; may be used from several threads, each of which then gets
/// buffers of its own.
#[derive(Debug, Clone)]
pub struct Model {
    pub(super) inner: Arc<ModelInner>,
}

#[derive(Debug)]
pub(super) struct ModelInner {
    engine: Engine,
    pub network: Network,
    /// What computes the network's results.
    pub results: Arc<Part>,
    /// What computes other nodes, the newest last.
    others: Mutex<Vec<(Asked, Arc<Part>)>>,
    /// How images of the last sizes are resized, the newest last.
    pub resizes: Mutex<Vec<Arc<Resize>>>,
    /// Images that the device was found to take at once.
    pub at_once: AtomicUsize,
}

/// Which nodes are asked for, where it is not the results.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Asked {
    Features,
    Embedding,
    Module(String),
}

/// Parts that are kept for what else was asked for; beyond this the oldest goes.
const MAX_OTHERS: usize = 3;

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
        &self.inner.results.graph
    }

    /// The plan for a batch of `n` images of `h` x `w` pixels: what [`Model::run`] will do. Inputs
    /// whose sides have fixed lengths are as long as that.
    pub fn plan(&self, n: usize, h: usize, w: usize, form: Form) -> Result<Plan> {
        self.inner.results.plan(self.engine(), &self.request(n, [h, w], form)?)
    }

    /// What a plan for images is asked for.
    pub(super) fn request(&self, n: usize, size: [usize; 2], form: Form) -> Result<Request> {
        if n == 0 {
            return Err(Error::shape("input", "a batch of 0 images"));
        }
        let normalise = match form {
            Form::Tensors => [[0.0; 3]; 2],
            Form::Classify { .. } => {
                let preprocess = self.network().preprocess()?;
                [preprocess.mean, preprocess.std]
            }
        };
        Ok(Request { shapes: self.network().shapes(n, size), form, normalise })
    }

    /// Whether an input of this shape is none that [`Model::run_named_async`] refuses for its size
    /// alone: before it is copied to this program's memory.
    #[cfg(all(target_arch = "wasm32", feature = "web"))]
    pub(crate) fn check_input(&self, shape: &[usize]) -> Result<()> {
        match self.graph().inputs() {
            [input] => match input.tensor.shape_of(shape) {
                Ok(shape) => self.inner.results.check_bytes(&[shape]),
                // Refused in other words.
                Err(_) => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Makes everything a run needs ahead of the first: weights, buffers, pipelines. Returns how
    /// long that took.
    pub async fn prepare_async(&self, n: usize, h: usize, w: usize, form: Form) -> Result<PrepareTimes> {
        let (runner, times) = self.runner(&self.request(n, [h, w], form)?).await?;
        self.inner.results.keep(runner);
        Ok(times)
    }

    /// As [`Model::prepare_async`], for a run on these tensors.
    pub async fn prepare_named_async(&self, inputs: &[(&str, &AnyTensor)]) -> Result<PrepareTimes> {
        let shapes = self.inner.results.given(self.engine(), inputs)?.shapes;
        let request = Request::of_tensors(shapes);
        let (runner, times) = self.runner(&request).await?;
        self.inner.results.keep(runner);
        Ok(times)
    }

    pub(super) async fn runner(&self, request: &Request) -> Result<(Runner, PrepareTimes)> {
        let (mut runner, mut times) = self.inner.results.runner(self.engine(), request).await?;
        if let RunnerKind::Gpu(prepared) = &mut runner.kind
            && request.form != Form::Tensors
        {
            // What a browser holds comes as a texture, whoever resizes what is in memory.
            let texture = cfg!(target_arch = "wasm32");
            if texture || self.engine().resizes_on_device() {
                times.pipelines += prepared.prepare_images(texture).await?;
            }
        }
        Ok((runner, times))
    }

    /// The first result of a network of one input: of a GhostNet the logits `[n, classes]` of a
    /// normalised input `[n, 3, h, w]`. [`Model::run_named_async`] takes several inputs and gives
    /// all results.
    ///
    /// On native targets the calling thread waits for the device.
    pub async fn run_async(&self, input: &Tensor) -> Result<Tensor> {
        let given = self.inner.results.given_one(self.engine(), input)?;
        first(self.inner.results.run_given(self.engine(), given).await?)
    }

    /// Every result of `n` images of `size` pixels, height and width, whose tensors lie in buffers
    /// of the engine's device, each by the name of an input. The results stay there. The device
    /// computes them in its queue's order, after what was submitted before; this does not wait.
    ///
    /// An input `[n, c, h, w]` lies in blocks of four channels, `[n][c / 4][h * w][4]`, as f32 or,
    /// with [`Precision::F16`](crate::Precision::F16), as halves: an RGB image has four values a
    /// pixel, the last of which is 0. The buffer's usages include `COPY_SRC`. [`OnDevice`] says how
    /// a result lies.
    ///
    /// Errors: [`Error::Unsupported`] on the CPU. [`Error::Model`] for a name that is no input's,
    /// an input without a buffer, and a network whose last step is the CPU's. [`Error::Shape`] for
    /// a buffer that is too small or may not be copied from. [`Error::Gpu`] for one of another
    /// device; of another instance, wgpu itself panics.
    pub async fn run_buffers_async(&self, n: usize, size: [usize; 2], inputs: &[(&str, &gpu::Buffer)]) -> Result<Vec<OnDevice>> {
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(last) = self.graph().suppressions().first() {
            let what = "NonMaxSuppression is computed on the CPU, and results stay in a GPU's buffers here: `run_named` gives it";
            return Err(Error::Model(format!("{}: {what}", last.name)));
        }
        let names: Vec<&str> = self.graph().inputs().iter().map(|input| &*input.name).collect();
        let there = || names.join(", ");
        if let Some((name, _)) = inputs.iter().find(|(name, _)| !names.contains(name)) {
            return Err(Error::Model(format!("no input is called `{name}`: there are {}", there())));
        }
        let of = |wanted: &&str| match inputs.iter().find(|(name, _)| name == wanted) {
            Some((_, buffer)) => Ok(*buffer),
            None => Err(Error::Model(format!("input `{wanted}` is missing: there are {}", there()))),
        };
        let buffers = names.iter().map(of).collect::<Result<Vec<_>>>()?;
        let request = self.request(n, size, Form::Tensors)?;
        let (mut runner, _) = self.runner(&request).await?;
        let RunnerKind::Gpu(prepared) = &mut runner.kind else {
            let what = "computes on tensors in memory, and none in a GPU's buffers".into();
            return Err(Error::Unsupported { adapter: self.engine().adapter().name.clone(), what });
        };
        let left = prepared.run_buffers(&buffers).await?;
        let plan = runner.plan.clone();
        self.inner.results.keep(runner);
        Ok(plan.outputs.iter().zip(left).map(|(output, buffer)| OnDevice::new(output, plan.precision, buffer)).collect())
    }

    /// Every result by name, of tensors by the names of the network's inputs. An input of the type
    /// f32 takes f32, and so on. Integers are computed with as f32, so they have to be at most
    /// 2^24.
    ///
    /// # Errors
    /// [`Error::Model`] for a missing or unknown input, [`Error::Shape`] for a tensor that does not
    /// fit, each with the input's name.
    pub async fn run_named_async(&self, inputs: &[(&str, &AnyTensor)]) -> Result<Vec<(String, AnyTensor)>> {
        let given = self.inner.results.given(self.engine(), inputs)?;
        self.inner.results.run_given(self.engine(), given).await
    }

    /// The maps that the network's builder marked as features, for detection heads, of a normalised
    /// input `[n, 3, h, w]`. Of a GhostNet they are the five that timm's `features_only=True`
    /// gives, of a detector on one those of its pyramid, for which two stages need no regions. See
    /// [`Network::feature_graph`].
    pub async fn features_async(&self, input: &Tensor) -> Result<Vec<Feature>> {
        let found = self.asked(Asked::Features, input).await?;
        let feature = |((name, tensor), reduction): ((String, AnyTensor), usize)| Feature { name, reduction, tensor: tensor.into_f32() };
        Ok(found.into_iter().zip(self.reductions()?).map(feature).collect())
    }

    /// What describes the whole input, `[n, c]`: the pooled features that the classifier reads. See
    /// [`Network::embedding_graph`].
    pub async fn embed_async(&self, input: &Tensor) -> Result<Tensor> {
        first(self.asked(Asked::Embedding, input).await?)
    }

    /// The maps of one of [`Network::ghost_modules`] for a normalised input `[n, 3, h, w]`. A
    /// module that is asked for again is ready.
    pub async fn ghost_maps_async(&self, input: &Tensor, module: &str) -> Result<GhostMaps> {
        let maps = first(self.asked(Asked::Module(module.into()), input).await?)?;
        Ok(GhostMaps::of(&maps, self.network().ghost_module(module)?.intrinsic))
    }

    /// What else than the results is asked for, of a normalised input.
    pub(crate) async fn asked(&self, asked: Asked, input: &Tensor) -> Result<Vec<(String, AnyTensor)>> {
        let part = self.part(asked)?;
        let given = part.given_one(self.engine(), input)?;
        part.run_given(self.engine(), given).await
    }

    /// Input pixels per pixel of each of the features.
    pub(crate) fn reductions(&self) -> Result<Vec<usize>> {
        let part = self.part(Asked::Features)?;
        // Maps of small inputs are rounded up; on large ones the ratio is the product of strides.
        // Those of still larger ones would have more values than a page can address.
        const LARGE: usize = 1 << 9;
        let of_large = part.graph.input_shapes(1, [LARGE; 2]);
        let shapes = part.graph.shapes(&of_large)?;
        let rows = part.graph.outputs().iter().map(|output| shapes[output.node.0].h);
        Ok(rows.map(|rows| (of_large[0].h + rows / 2) / rows).collect())
    }

    /// What computes other nodes than the results: kept for the next time.
    fn part(&self, asked: Asked) -> Result<Arc<Part>> {
        let lock = || self.inner.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, part)) = lock().iter().find(|(known, _)| *known == asked) {
            return Ok(part.clone());
        }
        let graph = match &asked {
            Asked::Features => self.network().feature_graph()?,
            Asked::Embedding => self.network().embedding_graph()?,
            Asked::Module(name) => self.network().ghost_graph(&self.network().ghost_module(name)?),
        };
        // Another thread may make the same meanwhile.
        let part = Arc::new(Part::new(self.engine(), graph));
        let mut others = lock();
        others.push((asked, part.clone()));
        if others.len() > MAX_OTHERS {
            others.remove(0);
        }
        Ok(part)
    }

    /// The plan for a batch, and the milliseconds of each of its steps: medians of `rounds` rounds.
    /// On a GPU its timestamps tell them.
    pub async fn profile_async(&self, n: usize, h: usize, w: usize, rounds: usize) -> Result<(Arc<Plan>, Vec<f64>)> {
        self.inner.results.profile(self.engine(), &self.request(n, [h, w], Form::Tensors)?, rounds).await
    }
}

/// The first of the results.
fn first(results: Vec<(String, AnyTensor)>) -> Result<Tensor> {
    let result = results.into_iter().next().ok_or_else(|| Error::Model("the graph has no result".into()))?;
    Ok(result.1.into_f32())
}
