//! Several runs under way at once.

use super::{
    answer::{Answer, Expected},
    classify::gpu_images,
    model::Model,
    part::{Feed, Given, RunnerKind, Slots, bytes, slots},
    results::Class,
    worker::Worker,
};
use crate::{
    Error, Result, gpu,
    graph::Shape,
    image_input::Readable,
    plan::{Form, Plan},
    tensor::{AnyTensor, Tensor},
};
use image::DynamicImage;
use std::sync::Arc;

/// Runs under way at once that keep a device busy: it computes one while the host fills the next
/// and reads the last. More help only where the host stutters.
pub const IN_FLIGHT: usize = 2;

/// Of each run under way there are an upload and a readback buffer.
const MOST_IN_FLIGHT: usize = 64;

/// Runs of one model on inputs of one shape, several of them under way at once. [`Model::session`]
/// makes it.
///
/// [`Session::submit`] hands a run to the device and returns before the result is there. So upload,
/// computation and readback of different runs overlap. So does what the caller does in between,
/// such as decoding the next image. Runs are computed in the order in which they were submitted.
/// They give what [`Model::run`] and [`Model::classify_pixels`] give.
///
/// All runs share the activations. Each has only an upload and a readback buffer of its own, made
/// once, and allocates nothing on the device. On the CPU a thread of the session's own computes one
/// run after the other on all cores. In a browser, where there are no threads, the CPU computes in
/// `submit`.
///
/// A session is used by one thread at a time. A model may have several, and run beside them: they
/// share its weights and nothing else. Dropping a session leaves the runs under way as they are,
/// and their results can still be waited for.
///
/// ```
/// use ghostnet::{Engine, EngineOptions, IN_FLIGHT, Network, plan::Form};
/// use std::collections::VecDeque;
///
/// let model = Engine::new(EngineOptions::default())?.load(Network::embedded()?)?;
/// let mut session = model.session(1, 32, 32, Form::Classify { k: 1 }, IN_FLIGHT)?;
/// let mut pending = VecDeque::new();
/// let mut labels = Vec::new();
/// for file in ["chelsea.png", "rocket.jpg", "chelsea.png"] {
///     let image = ghostnet::image_input::decode_file(format!("assets/images/{file}").as_ref())?;
///     // The device still works on the images before.
///     pending.push_back(session.submit_pixels(&model.pixels(&image)?)?);
///     if pending.len() == IN_FLIGHT {
///         labels.push(pending.pop_front().unwrap().wait()?.remove(0).remove(0).label);
///     }
/// }
/// for rest in pending {
///     labels.push(rest.wait()?.remove(0).remove(0).label);
/// }
/// assert_eq!(labels.len(), 3);
/// assert_eq!([&labels[0], &labels[2]], ["cat", "cat"]);
/// # Ok::<(), ghostnet::Error>(())
/// ```
pub struct Session {
    model: Model,
    plan: Arc<Plan>,
    runs: Runs,
    packed: Vec<f32>,
}

enum Runs {
    /// On the device's queue.
    Gpu(Box<gpu::Prepared>),
    /// By the CPU.
    Cpu(Worker),
}

/// A result that may not be there yet. Dropped, it leaves its run and the others as they are.
#[must_use = "a run's result comes from `wait`"]
pub struct Pending<T> {
    run: Run,
    about: About,
    read: fn(&About, Slots) -> Result<T>,
}

enum Run {
    Gpu(gpu::Run),
    Cpu(Expected),
}

/// What is needed to read a result.
struct About {
    model: Model,
    plan: Arc<Plan>,
    images: usize,
}

impl Model {
    /// A session for batches of at most `n` images of `h` x `w` pixels, with at most `in_flight`
    /// runs under way. [`IN_FLIGHT`] is a good number. This makes everything that its runs need:
    /// buffers, pipelines.
    ///
    /// Errors: [`Error::Shape`] for a size as of [`Model::run`] or more runs in flight than 64,
    /// [`Error::Limit`] or [`Error::OutOfMemory`] if the device has no room for the buffers.
    pub async fn session_async(&self, n: usize, h: usize, w: usize, form: Form, in_flight: usize) -> Result<Session> {
        if !(1..=MOST_IN_FLIGHT).contains(&in_flight) {
            return Err(Error::shape("session", format!("{in_flight} runs in flight, 1 to {MOST_IN_FLIGHT} are possible")));
        }
        let form = match form {
            Form::Tensors => Form::Tensors,
            Form::Classify { k } => self.classify_form(k)?,
        };
        let (runner, _) = self.runner(&self.request(n, [h, w], form)?).await?;
        let plan = runner.plan.clone();
        let runs = match runner.kind {
            RunnerKind::Gpu(mut prepared) => {
                prepared.set_in_flight(in_flight).await?;
                Runs::Gpu(prepared)
            }
            RunnerKind::Cpu(_) => Runs::Cpu(Worker::new(runner, in_flight)),
        };
        Ok(Session { model: self.clone(), plan, runs, packed: Vec::new() })
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({} steps)", self.plan.steps.len())
    }
}

impl Session {
    /// Submits a run of a network of one input, such as `[n, 3, h, w]`, normalised; it gives the
    /// first result, such as logits `[n, classes]`. There may be fewer images than the session was
    /// made for, which takes as long as all of them.
    ///
    /// Where as many runs are under way as the session was made for, this waits for the oldest of
    /// them.
    ///
    /// Errors: [`Error::Shape`] if the input does not fit or has values that are not finite, or if
    /// the session takes pixels; [`Error::DeviceLost`].
    pub async fn submit_async(&mut self, input: &Tensor) -> Result<Pending<Tensor>> {
        self.check_form()?;
        let model = self.model.clone();
        let given = model.inner.results.given_one(model.engine(), input)?;
        let read = |about: &About, slots: Slots| {
            let first = about.results(&slots)?.into_iter().next();
            Ok(first.map_or(Tensor { shape: Vec::new(), data: Vec::new() }, |(_, tensor)| tensor.into_f32()))
        };
        self.submit_given(given, read).await
    }

    /// As [`Session::submit_async`], of a network of any inputs: takes tensors by the inputs' names
    /// and gives every result by name, as [`Model::run_named_async`].
    pub async fn submit_named_async(&mut self, inputs: &[(&str, &AnyTensor)]) -> Result<Pending<Vec<(String, AnyTensor)>>> {
        self.check_form()?;
        let model = self.model.clone();
        let given = model.inner.results.given(model.engine(), inputs)?;
        self.submit_given(given, |about, slots| about.results(&slots)).await
    }

    fn check_form(&self) -> Result<()> {
        match self.plan.form {
            Form::Tensors => Ok(()),
            Form::Classify { .. } => Err(Error::shape("input", "this session takes pixels, a tensor was given")),
        }
    }

    async fn submit_given<T>(&mut self, given: Given<'_>, read: fn(&About, Slots) -> Result<T>) -> Result<Pending<T>> {
        for (input, &shape) in self.plan.inputs.iter().zip(&given.shapes) {
            let Shape { n, c, h, w } = input.shape;
            if shape != (Shape { n: shape.n, c, h, w }) || shape.n == 0 || shape.n > n || shape.n != given.shapes[0].n {
                let wanted = format!("[{}, {c}, {h}, {w}]", if n == 1 { "1".into() } else { format!("1 to {n}") });
                return Err(Error::shape(&input.name, format!("has shape {shape}, this session takes {wanted}")));
            }
        }
        let images = given.shapes.first().map_or(0, |shape| shape.n);
        let run = self.start(Feed::Tensors(&given.values())).await?;
        Ok(Pending { run, about: self.about(images), read })
    }

    /// Submits a run on images that [`Model::pixels`] has made, one after the other in `pixels`.
    /// Its result is the `k` most probable classes of each. Otherwise it is as
    /// [`Session::submit_async`].
    pub async fn submit_pixels_async(&mut self, pixels: &[u32]) -> Result<Pending<Vec<Vec<Class>>>> {
        if self.plan.form == Form::Tensors {
            return Err(Error::shape("input", "this session takes tensors, pixels were given"));
        }
        let Shape { n, h, w, .. } = self.plan.inputs[0].shape;
        let images = pixels.len() / (h * w);
        if images == 0 || images > n || !pixels.len().is_multiple_of(h * w) {
            let what = format!("{} pixels were given, this session takes up to {n} images of {h} x {w}, {} each", pixels.len(), h * w);
            return Err(Error::shape("input", what));
        }
        let run = self.start(Feed::Pixels(pixels)).await?;
        Ok(Pending { run, about: self.about(images), read: read_classes })
    }

    /// As [`Session::submit_pixels_async`], of images that are resized and cropped on the way. The
    /// device does that if its engine [`resizes there`](crate::Engine::resizes_on_device), else the
    /// CPU.
    pub async fn submit_images_async(&mut self, images: &[DynamicImage]) -> Result<Pending<Vec<Vec<Class>>>> {
        let resizes = self.model.on_device(images)?;
        let (Some(resizes), Runs::Gpu(prepared)) = (resizes, &mut self.runs) else {
            return self.submit_pixels_async(&self.model.pixels_of(images)?).await;
        };
        let readable: Vec<_> = images.iter().map(Readable::new).collect();
        let run = Run::Gpu(prepared.submit_images(&gpu_images(resizes, &readable)).await?);
        Ok(Pending { run, about: self.about(images.len()), read: read_classes })
    }

    async fn start(&mut self, feed: Feed<'_>) -> Result<Run> {
        let bytes = bytes(&self.plan, feed, &mut self.packed);
        match &mut self.runs {
            Runs::Gpu(prepared) => Ok(Run::Gpu(prepared.submit(&bytes).await?)),
            Runs::Cpu(worker) => {
                let (answer, expected) = Answer::new();
                worker.submit(bytes, answer).await?;
                Ok(Run::Cpu(expected))
            }
        }
    }

    fn about(&self, images: usize) -> About {
        About { model: self.model.clone(), plan: self.plan.clone(), images }
    }
}

impl About {
    fn results(&self, slots: &Slots) -> Result<Vec<(String, AnyTensor)>> {
        self.model.inner.results.results(&self.plan, slots, self.images)
    }
}

fn read_classes(about: &About, slots: Slots) -> Result<Vec<Vec<Class>>> {
    Ok(about.model.classes(&about.plan, &slots, about.images))
}

impl<T> Pending<T> {
    /// The result, once it is there. On native targets the calling thread waits for the device.
    ///
    /// Errors: [`Error::DeviceLost`] if the device was lost since the run was submitted.
    pub async fn wait_async(self) -> Result<T> {
        let slots = match self.run {
            Run::Gpu(run) => slots(&self.about.plan, run.wait().await?),
            Run::Cpu(expected) => expected.slots().await,
        };
        (self.read)(&self.about, slots)
    }

    /// Whether the wait would be over at once, with a result or an error. Does not block.
    pub fn is_ready(&self) -> bool {
        match &self.run {
            Run::Gpu(run) => run.is_done(),
            Run::Cpu(expected) => expected.is_there(),
        }
    }
}

impl<T> std::fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pending({} images)", self.about.images)
    }
}
