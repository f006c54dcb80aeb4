//! Options that several commands share, and what they stand for: an engine, a network.

use crate::output::note;
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use ghostnet::{
    Backend, Engine, EngineOptions, Network, Precision,
    model::{self, EMBEDDED, families::ghostnet::GhostNet},
};
use std::{
    fmt,
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
    #[arg(long, value_enum, default_value = "auto", hide_possible_values = true, value_name = "auto|gpu|cpu")]
    backend: BackendName,
    /// Only an adapter whose name, driver or API contains this, in any letter case
    #[arg(long, value_name = "SUBSTRING")]
    adapter: Option<String>,
    /// How weights and activations are stored: `f16` halves memory and traffic on any GPU, and
    /// convolutions multiply halves on those that can; not on the CPU
    #[arg(long, value_enum, default_value = "f32", hide_possible_values = true, value_name = "f32|f16")]
    precision: PrecisionName,
}

impl DeviceOptions {
    pub fn engine(&self) -> Result<Engine> {
        self.check()?;
        let backend = match self.backend {
            BackendName::Auto => Backend::Auto,
            BackendName::Gpu => Backend::Gpu,
            BackendName::Cpu => Backend::Cpu,
        };
        let options = EngineOptions::default().backend(backend).adapter(self.adapter.clone()).precision(self.precision());
        let engine = Engine::blocking(options)?;
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
            return Err(WrongUsage("--adapter chooses among GPUs and cannot be used with --backend cpu"));
        }
        if self.is_cpu() && self.precision() == Precision::F16 {
            return Err(WrongUsage("the CPU computes in f32; leave out --precision f16"));
        }
        Ok(())
    }
}

/// Options that contradict each other: `main` says so as clap does of what it finds itself.
#[derive(Debug)]
pub struct WrongUsage(&'static str);

impl fmt::Display for WrongUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for WrongUsage {}

/// Weights other than the model's own.
#[derive(Debug, Args)]
pub struct WeightsOption {
    /// Weights instead of the model's own, of its architecture; `random` (seeded) for timing
    #[arg(long, value_name = "FILE|random")]
    pub weights: Option<PathBuf>,
}

/// A network as the user asked for it.
pub struct Chosen {
    pub network: Network,
    pub name: String,
    /// Rows and columns of the model's usual input.
    pub size: [usize; 2],
}

impl Chosen {
    fn new(network: Network) -> Self {
        Self { name: network.name().to_string(), size: network.preprocess().size, network }
    }

    /// The architecture of `like` with made-up weights.
    fn random(like: Self) -> Self {
        Self { network: Network::random_of(like.network.architecture().clone(), SEED), ..like }
    }

    /// The name, with a remark if the weights are made up.
    pub fn title(&self) -> String {
        if self.network.is_random() { format!("{} (random weights)", self.name) } else { self.name.clone() }
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
pub fn network(model: Option<&str>, weights: &WeightsOption, unweighted: Unweighted) -> Result<Chosen> {
    let chosen = match (model, weights.weights.as_deref()) {
        (model, Some(file)) if file == Path::new("random") => Chosen::random(find(model.unwrap_or(EMBEDDED))?.0),
        (None, Some(file)) => Chosen::new(Network::open(file)?),
        (Some(model), Some(file)) => {
            let (wanted, exact) = find(model)?;
            let given = Network::open(file)?;
            check_same(&wanted, exact, &given, file)?;
            Chosen::new(given)
        }
        (model, None) => {
            let (found, _) = find(model.unwrap_or(EMBEDDED))?;
            if found.network.is_random() && unweighted == Unweighted::Refuse {
                bail!(no_weights(&found.name));
            }
            found
        }
    };
    // What only measures says so in its output; an error's one line on stderr stays alone.
    if chosen.network.is_random() && unweighted == Unweighted::Refuse {
        note("note: random weights, the answers mean nothing");
    }
    Ok(chosen)
}

/// What a model's name stands for, and whether that fixes everything about the architecture: the
/// name of an architecture leaves open the classes and the stem's stride, which its weights decide.
fn find(model: &str) -> Result<(Chosen, bool)> {
    if model == EMBEDDED {
        return Ok((Chosen::new(Network::embedded()?), true));
    }
    if let Ok(network) = Network::random(model, SEED) {
        return Ok((Chosen::new(network), false));
    }
    let path = Path::new(model);
    if path.exists() {
        return Ok((Chosen::new(Network::open(path)?), true));
    }
    if let Some(path) = ghostnet::hub::cached(model) {
        return Ok((Chosen::new(Network::open(path)?), true));
    }
    let is_file_name = path.extension().is_some_and(|e| ["safetensors", "pth", "pt", "bin", "tar"].iter().any(|known| e == *known));
    if is_file_name || path.is_absolute() || model.starts_with('.') {
        bail!("{model}: no such file");
    }
    let known: Vec<&str> = model::architectures().chain([EMBEDDED]).collect();
    let hint = if model.contains('/') { format!("; if it is a hub repository, `ghostnet pull {model}` gets it") } else { String::new() };
    bail!("`{model}` is neither a network ({}) nor a file nor a model pulled before{hint}", known.join(", "))
}

fn check_same(wanted: &Chosen, exact: bool, given: &Network, file: &Path) -> Result<()> {
    let (a, b) = (wanted.network.architecture(), given.architecture());
    let same = if exact { a == b } else { *a == b.clone().classes(a.classes).stem_stride(a.stem_stride) };
    if same {
        return Ok(());
    }
    let describe = |name: &str, g: &GhostNet| format!("{name} (width {}, {} classes, stem stride {})", g.width, g.classes, g.stem_stride);
    let wanted = if exact { describe(&wanted.name, a) } else { format!("{} (width {})", wanted.name, a.width) };
    bail!("{}: holds {}, not {wanted}", file.display(), describe(given.name(), b))
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

/// Rows and columns: `HxW`, or one number for both.
pub fn size(text: &str) -> Result<[usize; 2], String> {
    let side = |t: &str| t.parse().ok().filter(|n| (1..=16384).contains(n));
    let (h, w) = text.split_once('x').unwrap_or((text, text));
    side(h).zip(side(w)).map(|(h, w)| [h, w]).ok_or_else(|| "HxW is needed, such as 224x224, each from 1 to 16384".into())
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
