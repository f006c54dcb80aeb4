//! Options that several commands share, and what they stand for: an engine, a network.

use crate::output::note;
use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use ghostnet::{
    AnyTensor, Backend, CacheDir, Card, Element, Engine, EngineOptions, Error, Network, Open, Precision, Values,
    image_input::Interpolation,
    model::{self, EMBEDDED},
};
use std::{
    borrow::Cow,
    fmt,
    io::Read as _,
    path::{Path, PathBuf},
};

/// Weights made up from a formula always come from this seed, so that two runs compare.
const SEED: u64 = 0;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum BackendName {
    /// The best adapter that is a GPU, else the CPU
    Auto,
    /// The best adapter, be it one that runs shaders on the CPU; or fail
    Gpu,
    /// The CPU
    Cpu,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PrecisionName {
    F32,
    F16,
}

/// Where to run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Device")]
pub struct DeviceOptions {
    /// Where to run: `auto` takes the best adapter that is a GPU, else the CPU; `gpu` the best
    /// adapter, be it one that runs shaders on the CPU (lavapipe, SwiftShader, WARP)
    #[arg(short = 'd', long, value_enum, default_value = "auto", hide_possible_values = true, value_name = "auto|gpu|cpu")]
    backend: BackendName,
    /// Only an adapter whose name, driver or API contains this, in any letter case
    #[arg(short, long, value_name = "SUBSTRING")]
    adapter: Option<String>,
    /// How weights and activations are stored: `f16` halves memory and traffic on any GPU, and
    /// convolutions multiply halves on those that can; not on the CPU
    #[arg(short, long, value_enum, default_value = "f32", hide_possible_values = true, value_name = "f32|f16")]
    precision: PrecisionName,
    /// The most threads of the CPU that decode images and, with no GPU, run the network: 1 to 1024,
    /// by default as many as the machine grants. No more run than that, and the results are the
    /// same
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<usize>,
}

impl DeviceOptions {
    pub fn engine(&self) -> Result<Engine> {
        self.check()?;
        let backend = match self.backend {
            BackendName::Auto => Backend::Auto,
            BackendName::Gpu => Backend::Gpu,
            BackendName::Cpu => Backend::Cpu,
        };
        if let Some(threads) = self.threads {
            let threads = std::thread::available_parallelism().map_or(1, usize::from).min(threads);
            rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("starting threads")?;
        }
        let options = EngineOptions::default().backend(backend).adapter(self.adapter.clone()).precision(self.precision());
        let engine = Engine::new(options.threads(self.threads).cache(CacheDir::User))?;
        if !engine.unopened().is_empty() {
            note(&format!("note: {}; taking `{}`", engine.unopened().join("; "), engine.adapter().name));
        }
        Ok(engine)
    }

    pub fn precision(&self) -> Precision {
        match self.precision {
            PrecisionName::F32 => Precision::F32,
            PrecisionName::F16 => Precision::F16,
        }
    }

    pub fn is_cpu(&self) -> bool {
        matches!(self.backend, BackendName::Cpu)
    }

    pub fn names_adapter(&self) -> bool {
        self.adapter.is_some()
    }

    /// An error where the options contradict each other.
    pub fn check(&self) -> Result<(), WrongUsage> {
        if self.is_cpu() && self.names_adapter() {
            return Err(WrongUsage("--adapter chooses among GPUs and cannot be used with --backend cpu".into()));
        }
        if self.is_cpu() && self.precision() == Precision::F16 {
            return Err(WrongUsage("the CPU computes in f32; leave out --precision f16".into()));
        }
        Ok(())
    }
}

/// Options that contradict each other: `main` says so as clap does of what it finds itself.
#[derive(Debug)]
pub struct WrongUsage(pub Cow<'static, str>);

impl fmt::Display for WrongUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongUsage {}

/// Weights other than the model's own.
#[derive(Debug, Args)]
pub struct WeightsOption {
    /// Weights instead of the model's own, of its architecture; `random` (seeded) for timing
    #[arg(short, long, value_name = "FILE|random")]
    pub weights: Option<PathBuf>,
}

/// What a network is for, where its file does not say.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "What the network is for")]
pub struct CardOptions {
    /// A card: JSON with labels and how an image becomes the input; or timm's config.json
    #[arg(long, value_name = "FILE.json")]
    card: Option<PathBuf>,
    /// The classes' names, one a line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Mean of red, green and blue, of values from 0 to 1
    #[arg(long, value_name = "R,G,B", value_parser = channels)]
    mean: Option<[f32; 3]>,
    /// Standard deviation of red, green and blue, of values from 0 to 1
    #[arg(long, value_name = "R,G,B", value_parser = deviations)]
    std: Option<[f32; 3]>,
    /// Rows and columns of the input
    #[arg(short = 's', long = "size", value_name = "HxW", value_parser = size)]
    input: Option<[usize; 2]>,
    /// Share of the resized image's short side that the crop keeps, above 0 and at most 1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    crop: Option<f32>,
    /// Filter of the resize
    #[arg(long, value_name = "bilinear|bicubic", value_parser = filter)]
    interpolation: Option<Interpolation>,
}

impl CardOptions {
    /// A card alone.
    pub fn of(card: Option<&Path>) -> Self {
        Self { card: card.map(Path::to_path_buf), ..Self::default() }
    }

    /// Rows and columns of the input, where they are said.
    pub fn size(&self) -> Option<[usize; 2]> {
        self.input
    }

    /// The network with what the options say of it.
    fn apply(&self, network: Network) -> Result<Network> {
        let Self { card, labels, mean, std, input, crop, interpolation } = self;
        let mut said = match card {
            Some(file) => Card::open(file)?.or(network.card().clone()),
            None => network.card().clone(),
        };
        if let Some(file) = labels {
            let (mut opened, _) = ghostnet::low_level::open_file(file)?;
            let mut text = String::new();
            opened.read_to_string(&mut text).with_context(|| format!("reading {}", file.display()))?;
            said = said.labels(text.lines());
        }
        if mean.is_some() || std.is_some() || input.is_some() || crop.is_some() || interpolation.is_some() {
            let name = network.graph().inputs().first().map_or("input", |input| &input.name);
            let known = said.inputs.iter().find(|(known, _)| known == name).map(|(_, preprocess)| preprocess.clone());
            let mut preprocess = known.unwrap_or_default();
            preprocess.mean = mean.unwrap_or(preprocess.mean);
            preprocess.std = std.unwrap_or(preprocess.std);
            preprocess.size = input.or(network.size()).unwrap_or(preprocess.size);
            preprocess.crop_pct = crop.unwrap_or(preprocess.crop_pct);
            preprocess.interpolation = interpolation.unwrap_or(preprocess.interpolation);
            let name = name.to_string();
            said = said.input(name, preprocess);
        }
        let network = network.with_card(said);
        Ok(match card {
            Some(file) => network.with_context(|| file.display().to_string())?,
            None => network?,
        })
    }
}

/// A network as the user asked for it.
pub struct Chosen {
    pub network: Network,
    pub name: String,
}

impl Chosen {
    fn new(network: Network) -> Self {
        Self { name: network.name().to_string(), network }
    }

    /// The name, with a remark if the weights are made up.
    pub fn title(&self) -> String {
        if self.network.is_random() { format!("{} (random weights)", self.name) } else { self.name.clone() }
    }

    /// With what the options say of it.
    pub fn described(self, card: &CardOptions) -> Result<Self> {
        let network = card.apply(self.network)?;
        let name = if self.name == network.name() || network.name().is_empty() { self.name } else { network.name().to_string() };
        Ok(Self { network, name })
    }

    /// An error unless it finds something in pictures.
    pub fn check_finds(&self) -> Result<()> {
        if self.network.detector().is_none() && self.network.landmarker().is_none() {
            bail!("{}: nothing is found in pictures by it; --card says how a detector's results become boxes", self.name);
        }
        Ok(())
    }

    /// Rows and columns of a run: those that are asked for, else the model's.
    pub fn size(&self, asked: Option<[usize; 2]>) -> Result<[usize; 2]> {
        let size = asked.or(self.network.size());
        size.ok_or_else(|| anyhow!("{}: rows and columns of its input are open: give --size HxW", self.name))
    }
}

/// What a model stands for that has an architecture's name and no weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unweighted {
    /// Made-up weights: the command does not look at the answers.
    Random,
    /// An error that says where weights are: the command is about the answers.
    Refuse,
}

/// The network of `--model` (or the positional M) and `--weights`; the embedded one without either.
/// `open` is what an ONNX file leaves open.
pub fn network(model: Option<&str>, weights: &WeightsOption, unweighted: Unweighted, open: &Open<'_>) -> Result<Chosen> {
    let named = model.unwrap_or(EMBEDDED);
    let network = match weights.weights.as_deref() {
        Some(file) if file == Path::new("random") => find(named, open)?.randomised(SEED),
        Some(file) => {
            let given = Network::open_with(file, open)?;
            let origin = file.to_string_lossy();
            match model {
                // The name leaves open the classes and the stem's stride, which the weights decide.
                Some(name) if model::is_architecture(name) => given.check_architecture(name, &origin)?,
                Some(name) => find(name, open)?.check_same(&given, &origin)?,
                None => {}
            }
            given
        }
        None if model::is_architecture(named) && unweighted == Unweighted::Refuse => bail!(no_weights(named)),
        None => find(named, open)?,
    };
    // What only measures says so in its output; an error's one line on stderr stays alone.
    if network.is_random() && unweighted == Unweighted::Refuse {
        note("note: random weights, the answers mean nothing");
    }
    for said in network.notes() {
        note(&format!("note: {}: {said}", network.name()));
    }
    Ok(Chosen::new(network))
}

/// An ONNX file that leaves rows and columns open gets these.
pub fn of_size(size: Option<[usize; 2]>) -> Open<'static> {
    Open { size, ..Open::default() }
}

/// What a model's name stands for.
fn find(model: &str, open: &Open<'_>) -> Result<Network> {
    if model == EMBEDDED {
        return Ok(Network::embedded()?);
    }
    if model::is_architecture(model) {
        return Ok(Network::random(model, SEED)?);
    }
    let path = Path::new(model);
    if path.exists() {
        return Ok(Network::open_with(path, open)?);
    }
    if let Some(path) = ghostnet::hub::cached(model) {
        return Ok(Network::open_with(path, open)?);
    }
    let is_file_name = path.extension().is_some_and(|e| ["safetensors", "onnx", "pth", "pt", "bin", "tar"].iter().any(|known| e == *known));
    if is_file_name || path.is_absolute() || model.starts_with('.') {
        bail!("{model}: no such file");
    }
    let known: Vec<&str> = model::architectures().chain([EMBEDDED]).collect();
    let hint = if model.contains('/') { format!("; if it is a hub repository, `ghostnet pull {model}` gets it") } else { String::new() };
    bail!("`{model}` is neither a network ({}) nor a file nor a model pulled before{hint}", known.join(", "))
}

/// A made-up tensor for each input of a run.
pub fn made_up(network: &Network, n: usize, size: [usize; 2]) -> Result<Vec<(String, AnyTensor)>> {
    let inputs = network.graph().inputs().iter().zip(network.shapes(n, size));
    let tensor = |(input, shape): (&ghostnet::graph::Input, ghostnet::graph::Shape)| {
        let lengths = input.tensor.lengths(shape).map_err(|what| anyhow!("{}: {what}", input.name))?;
        fn made<T>(count: usize, value: impl FnMut(usize) -> T) -> Result<Vec<T>, Error> {
            let mut values = Vec::new();
            let full = |_| Error::OutOfMemory(format!("an input of {count} values"));
            values.try_reserve_exact(count).map_err(full)?;
            values.extend((0..count).map(value));
            Ok(values)
        }
        let count = lengths.iter().product::<usize>();
        let data = match input.tensor.element {
            Element::F32 => Values::F32(made(count, |at| (at % 251) as f32 / 125.0 - 1.0)?),
            Element::I32 => Values::I32(made(count, |at| (at % 2) as i32)?),
            Element::I64 => Values::I64(made(count, |at| (at % 2) as i64)?),
            Element::Bool => Values::Bool(made(count, |at| at % 2 == 0)?),
        };
        Ok((input.name.clone(), AnyTensor { shape: lengths, data }))
    };
    inputs.map(tensor).collect()
}

/// timm publishes weights for width 1.0 only.
fn no_weights(name: &str) -> String {
    let pulled = "timm/ghostnet_100.in1k";
    if name.starts_with("ghostnet_100") {
        return format!("{name} has no weights yet: `ghostnet pull {pulled}`, then `--model {pulled}`; or give a file with --weights FILE");
    }
    format!("{name} has no weights: give a file with --weights FILE; for ghostnet_100, `ghostnet pull {pulled}`, then `--model {pulled}`")
}

/// A batch, a count of runs, of classes, of images.
pub fn positive(text: &str) -> Result<usize, String> {
    match text.parse::<u32>() {
        Ok(n @ 1..=1_000_000) => Ok(n as usize),
        _ => Err("a whole number from 1 to 1000000 is needed".into()),
    }
}

/// A number of threads.
fn threads(text: &str) -> Result<usize, String> {
    let threads = text.parse().ok().filter(|n| (1..=1024).contains(n));
    threads.ok_or_else(|| "a whole number from 1 to 1024 is needed".into())
}

/// Rows and columns: `HxW`, or one number for both.
pub fn size(text: &str) -> Result<[usize; 2], String> {
    let side = |t: &str| t.parse().ok().filter(|n| (1..=16384).contains(n));
    let (h, w) = text.split_once('x').unwrap_or((text, text));
    side(h).zip(side(w)).map(|(h, w)| [h, w]).ok_or_else(|| "HxW is needed, such as 224x224, each from 1 to 16384".into())
}

/// Three numbers, or one for all channels.
fn channels(text: &str) -> Result<[f32; 3], String> {
    let numbers: Option<Vec<f32>> = text.split(',').map(|number| number.trim().parse().ok().filter(|n: &f32| n.is_finite())).collect();
    match numbers.as_deref() {
        Some(&[one]) => Ok([one; 3]),
        Some(&[r, g, b]) => Ok([r, g, b]),
        _ => Err("three numbers are needed, such as 0.485,0.456,0.406, or one for all channels".into()),
    }
}

fn deviations(text: &str) -> Result<[f32; 3], String> {
    let numbers = channels(text)?;
    if numbers.iter().all(|&number| number > 0.0) { Ok(numbers) } else { Err("numbers above 0 are needed".into()) }
}

fn share(text: &str) -> Result<f32, String> {
    let share = text.parse().ok().filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "a number above 0 and at most 1 is needed".into())
}

fn filter(text: &str) -> Result<Interpolation, String> {
    Interpolation::named(text).ok_or_else(|| "bilinear or bicubic is needed".into())
}

/// Refuses what no memory holds before anything is allocated for it: `batch` images of `size`.
pub fn check_input(batch: usize, [h, w]: [usize; 2]) -> Result<()> {
    const LIMIT: usize = 1 << 30;
    let values = batch * 3 * h * w;
    if values > LIMIT {
        bail!("{batch} images of {h} x {w} have {values} values, {LIMIT} is the most; use a smaller --batch or --size");
    }
    Ok(())
}
