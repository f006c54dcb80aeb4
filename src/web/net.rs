//! Networks on devices: `Device` opens one, and `Net` is what `GhostNet` of the package holds.

use super::{
    list, object,
    pixels::{Rgba, copied},
    precision_named,
};
use crate::{
    AnyTensor, Backend, Card, Class, Engine, EngineOptions, Error, Model, Network, Result, Tensor, Values,
    device::{Choice, DeviceClass},
    engine::Asked,
    graph::TensorType,
    model::{card::IMAGENET_CLASSES, families},
    plan::Form,
};
use js_sys::{Array, BigInt64Array, Float32Array, Int32Array, Object, Uint8Array};
use std::cell::RefCell;
use wasm_bindgen::prelude::*;

/// The seed of made-up weights; the command's.
const SEED: u64 = 0;

/// An open device.
#[wasm_bindgen]
pub struct Device {
    engine: Engine,
    options: EngineOptions,
}

#[wasm_bindgen]
impl Device {
    /// Opens a device: `backend` is `auto`, `gpu` or `cpu`, `precision` is `f32` or `f16`. With
    /// `as_gpu`, which is for tests, it runs the kernels of a GPU whatever it is.
    pub async fn open(backend: String, precision: String, as_gpu: bool) -> Result<Device, JsValue> {
        let precision = precision_named(&precision)?;
        let backend = match &backend[..] {
            "auto" => Backend::Auto,
            "gpu" => Backend::Gpu,
            "cpu" => Backend::Cpu,
            other => return Err(Error::Model(format!("backend `{other}` is none of auto, gpu, cpu")).into()),
        };
        let choice = as_gpu.then(|| Choice::new(DeviceClass::Gpu));
        let mut options = EngineOptions { backend, precision, choice, ..Default::default() };
        let engine = Engine::new_async(options.clone()).await?;
        // Pictures are handed over as the first device takes them; so does the one after a loss.
        options.backend = if engine.gpu().is_some() { Backend::Gpu } else { Backend::Cpu };
        Ok(Self { engine, options })
    }

    /// Closes the device, for a network that could not be put on it.
    pub fn close(&self) {
        self.engine.lose_device();
    }
}

/// Why the model of this name cannot be loaded without weights.
#[wasm_bindgen]
pub fn no_weights(name: &str) -> JsValue {
    match families::named(name) {
        Ok(_) => Error::Model(format!("{name} has no weights: give some with `weights`")).into(),
        Err(unknown) => unknown.into(),
    }
}

/// A network on a device.
#[wasm_bindgen]
pub struct Net {
    network: Network,
    options: EngineOptions,
    /// The first device, until the network is put on it.
    engine: RefCell<Option<Engine>>,
    /// `None` until the network is put on a device, and once that was lost.
    model: RefCell<Option<Model>>,
    /// The plan that the page works around.
    #[cfg(not(feature = "without_gpu"))]
    pub(super) lent: RefCell<Option<crate::engine::Lent>>,
}

#[wasm_bindgen]
impl Net {
    /// A network for `device`: that of the safetensors file `weights`, which messages call
    /// `origin`, with the `config.json` beside it, if there is one. It must be of the architecture
    /// `name`, if one is given. Without weights it is that architecture with made-up ones.
    #[wasm_bindgen(constructor)]
    pub fn new(
        device: &Device,
        name: Option<String>,
        origin: &str,
        weights: Option<Uint8Array>,
        config: Option<Uint8Array>,
    ) -> Result<Net, JsValue> {
        let network = match (weights, &name) {
            (Some(bytes), _) => {
                let weights = copied(origin, bytes.length(), |copy| bytes.copy_to(copy))?;
                match config {
                    Some(config) => Network::from_bytes_with(origin, &weights, &config.to_vec())?,
                    None => Network::from_bytes(origin, &weights)?,
                }
            }
            (None, Some(name)) => Network::random(name, SEED)?,
            (None, None) => return Err(Error::Model("made-up weights need a model's name".into()).into()),
        };
        if let Some(name) = name {
            network.check_architecture(&name, origin)?;
        }
        let engine = RefCell::new(Some(device.engine.clone()));
        Ok(Self {
            network,
            options: device.options.clone(),
            engine,
            model: RefCell::default(),
            #[cfg(not(feature = "without_gpu"))]
            lent: RefCell::default(),
        })
    }

    /// Whether the classes are ImageNet's and nobody has named them.
    pub fn lacks_names(&self) -> bool {
        self.network.labels().is_empty() && self.network.classes() == IMAGENET_CLASSES
    }

    /// Names the classes, one a line; before anything else is called.
    pub fn name_classes(&mut self, lines: &str) -> Result<(), JsValue> {
        Ok(self.network.name_classes(lines)?)
    }

    /// Says what the network is for: a card's JSON; before anything else is called.
    pub fn describe(&mut self, card: &str) -> Result<(), JsValue> {
        let card = Card::of_json(card)?.or(self.network.card().clone());
        self.network = self.network.clone().with_card(card)?;
        Ok(())
    }

    /// What `info` holds, once `prepare` has been called.
    pub fn info(&self) -> Result<Object, JsValue> {
        let model = self.model.borrow();
        let engine = model.as_ref().expect("asked for after `prepare`, before anything can be lost").engine();
        let network = &self.network;
        // Of a graph that takes no images of the usual size nothing is counted.
        let summary = network.summary().ok();
        let channels = network.shapes(1, [1, 1]).first().map_or(0, |input| input.c);
        let [h, w] = network.size().unwrap_or([0, 0]);
        let end = |name: &String, tensor: &TensorType| -> JsValue {
            let sides: Array = tensor.sides().map(|side| JsValue::from(&side)).collect();
            object(&[("name", name.into()), ("type", tensor.element.name().into()), ("sides", sides.into())]).into()
        };
        Ok(object(&[
            ("adapter", (&engine.adapter().name).into()),
            ("backend", engine.backend().into()),
            ("fallback", engine.fallback().map_or(JsValue::NULL, JsValue::from)),
            ("precision", engine.precision().name().into()),
            ("model", network.name().into()),
            ("input", list(&[channels, h, w], |&side| number(side as u64))),
            ("inputs", list(network.graph().inputs(), |input| end(&input.name, &input.tensor))),
            ("outputs", list(network.graph().outputs(), |output| end(&output.name, &output.tensor))),
            ("task", network.card().task.map_or(JsValue::NULL, |task| task.name().into())),
            ("decoder", network.card().decoder.as_deref().map_or(JsValue::NULL, JsValue::from)),
            ("classes", number(network.classes() as u64)),
            ("labels", list(network.labels(), |label| label.into())),
            ("params", number(network.graph().params())),
            ("macs", summary.map_or(JsValue::NULL, |summary| number(summary.macs))),
            ("takes_frames", (engine.choice().class == DeviceClass::Gpu).into()),
            ("features", list(&engine.adapter().features, |feature| feature.into())),
        ]))
    }

    /// Puts the network on the device and makes ready what `classify` needs, or `run` where the
    /// network tells no classes apart and its input has one size; milliseconds for the weights and
    /// for the pipelines.
    pub async fn prepare(&self, top: usize) -> Result<Vec<f64>, JsValue> {
        let model = self.model().await?;
        let classifies = self.network.classes() > 0 && self.network.preprocess().is_ok();
        let form = if classifies { Form::Classify { k: top.clamp(1, self.network.classes()) } } else { Form::Tensors };
        let Some([h, w]) = self.network.size() else { return Ok(vec![0.0, 0.0]) };
        let times = self.checked(model.prepare_async(1, h, w, form).await)?;
        Ok(vec![times.weights, times.pipelines])
    }

    /// The `top` classes of what the browser holds, best first, or null where it does not copy that
    /// to a texture. This is for a GPU only, and no pixel comes here.
    pub async fn classify(&self, source: JsValue, width: u32, height: u32, top: usize) -> Result<JsValue, JsValue> {
        let model = self.model().await?;
        match self.checked(model.classify_external_async(&source, width, height, top).await) {
            Err(Error::Image { .. }) => Ok(JsValue::NULL),
            classes => Ok(list(&classes?, class)),
        }
    }

    /// The `top` classes of an image of RGBA bytes, best first.
    pub async fn classify_pixels(&self, pixels: Uint8Array, width: u32, height: u32, top: usize) -> Result<JsValue, JsValue> {
        let model = self.model().await?;
        let pixels = model.pixels_of_rows(&Rgba::new(&pixels, width, height)?, height, width)?;
        let classes = self.checked(model.classify_pixels_async(&pixels, 1, top).await)?;
        Ok(list(&classes[0], class))
    }

    /// Every result, of tensors by the names of the inputs: `tensors` are typed arrays, of bytes
    /// for truth values. Results are names with values and shapes.
    pub async fn run_named(&self, names: Vec<String>, tensors: Vec<JsValue>, shapes: Vec<JsValue>) -> Result<Array, JsValue> {
        let model = self.model().await?;
        let mut inputs = Vec::new();
        for ((name, tensor), shape) in names.iter().zip(&tensors).zip(shapes) {
            let shape: Vec<usize> = Array::from(&shape).iter().map(|side| side.as_f64().unwrap_or(0.0) as usize).collect();
            // Before a copy is made of it.
            if let Some(array) = tensor.dyn_ref::<Float32Array>() {
                Tensor::check(&shape, array.length() as usize)?;
                model.check_input(&shape)?;
            }
            inputs.push((&name[..], AnyTensor { shape, data: values(name, tensor)? }));
        }
        let inputs: Vec<(&str, &AnyTensor)> = inputs.iter().map(|(name, tensor)| (*name, tensor)).collect();
        let results = self.checked(model.run_named_async(&inputs).await)?;
        Ok(results.iter().map(|(name, tensor)| Array::of3(&name.into(), &typed(&tensor.data), &shape_of(&tensor.shape))).collect())
    }

    /// The steps of a run with their milliseconds.
    pub async fn profile(&self, rounds: usize) -> Result<Array, JsValue> {
        let [h, w] = self.network.size().ok_or_else(|| Error::Model(format!("{}: its input's size is open", self.network.name())))?;
        let model = self.model().await?;
        let (plan, times) = self.checked(model.profile_async(1, h, w, rounds).await)?;
        let steps = plan.steps.iter().zip(times).map(|(step, ms)| {
            object(&[
                ("name", (&step.name).into()),
                ("kernel", step.dispatch.key.kernel.name().into()),
                ("ms", ms.into()),
                ("macs", number(step.macs)),
                ("bytes", number(step.read_bytes + step.write_bytes)),
            ])
        });
        Ok(steps.collect())
    }

    /// Names of the ghost modules, in order.
    pub fn modules(&self) -> Result<Vec<String>, JsValue> {
        Ok(self.network.ghost_modules())
    }

    /// What a network has besides its results, for an image of RGBA bytes: `embedding`, `features`,
    /// or the maps of the ghost module of this name. Each has its values, its shape, its name, and
    /// a number: a feature's is the input's pixels for one of it, a module's its intrinsic maps.
    pub async fn within(&self, pixels: Uint8Array, width: u32, height: u32, what: String) -> Result<Array, JsValue> {
        let model = self.model().await?;
        let input = self.input_of(&model, &pixels, width, height)?;
        let asked = match &what[..] {
            "embedding" => Asked::Embedding,
            "features" => Asked::Features,
            _ => Asked::Module(what),
        };
        let found = self.checked(model.asked(asked.clone(), &input).await)?;
        let numbers = match asked {
            Asked::Embedding => vec![0],
            Asked::Features => model.reductions()?,
            Asked::Module(name) => vec![self.network.ghost_module(&name)?.intrinsic],
        };
        let all = found.iter().zip(numbers);
        Ok(all
            .map(|((name, tensor), of)| Array::of4(&typed(&tensor.data), &shape_of(&tensor.shape), &name.into(), &number(of as u64)))
            .collect())
    }

    /// Whether the browser has said that the device was lost.
    pub fn is_lost(&self) -> bool {
        self.model.borrow().as_ref().is_some_and(|model| model.engine().is_lost())
    }

    /// Closes the device. What is in flight fails; nothing may be called afterwards.
    pub fn destroy(&self) {
        if let Some(model) = self.model.take() {
            model.engine().lose_device();
        }
    }

    /// The normalised input `[1, 3, h, w]` that an image of RGBA bytes becomes.
    fn input_of(&self, model: &Model, pixels: &Uint8Array, width: u32, height: u32) -> Result<Tensor> {
        let preprocess = self.network.preprocess()?;
        let [h, w] = preprocess.size;
        let words = model.pixels_of_rows(&Rgba::new(pixels, width, height)?, height, width)?;
        let normalised = |c: usize| {
            let (mean, std) = (preprocess.mean[c], preprocess.std[c]);
            words.iter().map(move |word| (f32::from(word.to_le_bytes()[c]) / 255.0 - mean) / std)
        };
        Tensor::new(&[1, 3, h, w], (0..3).flat_map(normalised).collect())
    }

    /// The network on its device, or, where that was lost, on a new one.
    pub(super) async fn model(&self) -> Result<Model> {
        if let Some(model) = self.model.borrow().clone().filter(|model| !model.engine().is_lost()) {
            return Ok(model);
        }
        let engine = match self.engine.take() {
            Some(engine) => engine,
            None => Engine::new_async(self.options.clone()).await?,
        };
        let model = engine.load(self.network.clone())?;
        self.model.replace(Some(model.clone()));
        Ok(model)
    }

    /// Drops a model whose device was lost: the browser may reject a mapping before it says so.
    pub(super) fn checked<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(Error::DeviceLost(_)) = result {
            self.model.take();
        }
        result
    }
}

/// JavaScript's numbers are exact up to 2^53: more multiply-adds than any run has.
fn number(count: u64) -> JsValue {
    JsValue::from_f64(count as f64)
}

fn class(Class { index, label, probability }: &Class) -> JsValue {
    object(&[("index", number(*index as u64)), ("label", label.into()), ("probability", (*probability).into())]).into()
}

pub(super) fn shape_of(shape: &[usize]) -> Array {
    shape.iter().map(|&side| JsValue::from(side as u32)).collect()
}

/// What a typed array holds.
fn values(name: &str, array: &JsValue) -> Result<Values> {
    if let Some(array) = array.dyn_ref::<Float32Array>() {
        return Ok(Values::F32(copied(name, array.length(), |copy| array.copy_to(copy))?));
    }
    if let Some(array) = array.dyn_ref::<Int32Array>() {
        return Ok(Values::I32(copied(name, array.length(), |copy| array.copy_to(copy))?));
    }
    if let Some(array) = array.dyn_ref::<BigInt64Array>() {
        return Ok(Values::I64(copied(name, array.length(), |copy| array.copy_to(copy))?));
    }
    if let Some(array) = array.dyn_ref::<Uint8Array>() {
        let bytes: Vec<u8> = copied(name, array.length(), |copy| array.copy_to(copy))?;
        return Ok(Values::Bool(bytes.into_iter().map(|byte| byte != 0).collect()));
    }
    Err(Error::shape(name, "is no Float32Array, Int32Array, BigInt64Array or Uint8Array (for truth values)"))
}

fn typed(values: &Values) -> JsValue {
    match values {
        Values::F32(values) => Float32Array::from(&values[..]).into(),
        Values::I32(values) => Int32Array::from(&values[..]).into(),
        Values::I64(values) => BigInt64Array::from(&values[..]).into(),
        Values::Bool(values) => Uint8Array::from(&values.iter().map(|&value| u8::from(value)).collect::<Vec<_>>()[..]).into(),
    }
}
