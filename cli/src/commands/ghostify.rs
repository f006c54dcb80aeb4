use crate::{
    options::{DeviceOptions, Unweighted, WeightsOption, WrongUsage, check_input, network, of_size, positive, size},
    output::{Align, adapter, aside, bold, bytes, count, dim, fallback, macs, number, print, print_json, table, write_file},
};
use anyhow::{Result, bail};
use ghostnet::{
    Engine, Network,
    graph::{Ghostified, Ghostify},
    measure::roof,
    model::Stored,
    plan::{Plan, Step},
};
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Milliseconds of a pass and rounds, for the roof.
const ROOF: (f64, usize) = (5.0, 7);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Convolutions become ghost modules (GhostNet, section 3.1): some filters stay, and each of the others becomes a multiple of
one that stays, the nearest there is. So what comes out is where training starts; without it few answers stay right. The
error is that of the filters, relative, and both networks are timed on the device, step by step as `ghostnet profile` does.
The predicted time is the old one, as often as the least times by the device's roof have it. With --json:
  {\"model\", \"file\", \"bytes\", \"backend\", \"adapter\", \"driver\", \"precision\", \"params\": [before, after], \"macs\": [before, after],
   \"ms\": [before, after], \"predicted_ms\",
   \"layers\": [{\"name\", \"channels\": [in, out], \"kernel\", \"intrinsic\", \"reordered\", \"error\", \"params\", \"macs\", \"ms\", \"predicted_ms\"}]}

Example:
  ghostnet ghostify vgg16 ghosts.safetensors --weights vgg16.safetensors --layers 'features.*'")]
pub struct Args {
    /// A network, path to weights, or hub repository pulled before
    #[arg(value_name = "IN")]
    model: String,
    /// The one-file network, written whole or not at all
    #[arg(value_name = "OUT")]
    out: PathBuf,
    #[command(flatten)]
    weights: WeightsOption,
    /// Ratio s: one map of so many is intrinsic, the others are ghosts
    #[arg(long, value_name = "S", default_value = "2", value_parser = positive)]
    ratio: usize,
    /// Kernel d of the cheap operations, odd
    #[arg(long, value_name = "D", default_value = "3", value_parser = positive)]
    cheap: usize,
    /// Only convolutions of such names, in which `*` is any text and `?` any character; as often as
    /// need be [default: all that can, but the first]
    #[arg(long, value_name = "PATTERN")]
    layers: Vec<String>,
    /// Write it as a PyTorch module too, for training: `Network().load(OUT)`, and `save(FILE, OUT)`
    #[arg(long, value_name = "FILE.py")]
    pytorch: Option<PathBuf>,
    /// Timed runs, of which each step's median counts
    #[arg(short = 'n', long, value_name = "K", default_value = "20", value_parser = positive)]
    iters: usize,
    /// Rows and columns of the input [default: the model's]
    #[arg(short, long, value_name = "HxW", value_parser = size)]
    size: Option<[usize; 2]>,
    /// Print a JSON object
    #[arg(short, long)]
    json: bool,
    #[command(flatten)]
    device: DeviceOptions,
}

impl Args {
    pub fn run(self) -> Result<()> {
        self.device.check()?;
        if self.ratio == 1 {
            return Err(WrongUsage("--ratio 1 makes no ghosts; 2 or more is needed".into()).into());
        }
        if self.cheap.is_multiple_of(2) {
            return Err(WrongUsage("--cheap is the side of an odd kernel".into()).into());
        }
        for file in [Some(Path::new(&self.model)), self.weights.weights.as_deref()].into_iter().flatten() {
            if fs::canonicalize(file).is_ok_and(|file| fs::canonicalize(&self.out).is_ok_and(|out| out == file)) {
                bail!("{}: IN and OUT are one file", self.out.display());
            }
        }
        if self.pytorch.as_deref().is_some_and(|file| file == self.out || file == Path::new(&self.model)) {
            bail!("{}: the Python file would replace a network", self.out.display());
        }
        let chosen = network(Some(&self.model), &self.weights, Unweighted::Refuse, &of_size(self.size))?;
        let size = chosen.size(self.size)?;
        check_input(1, size)?;
        let how = Ghostify::default().ratio(self.ratio).cheap_kernel(self.cheap).layers(self.layers);
        let (made, layers) = chosen.network.ghostify(&how, size)?;
        let python = self.pytorch.as_ref().map(|file| Ok::<_, ghostnet::Error>((file, made.to_pytorch()?))).transpose()?;
        let engine = self.device.engine()?;
        let timed = [&chosen.network, &made].map(|network| Timed::of(&engine, network, size, self.iters, &layers));
        let [before, after] = timed.into_iter().collect::<Result<Vec<_>>>()?.try_into().map_err(|_| anyhow::anyhow!("two networks"))?;
        let roof = pollster::block_on(roof(&engine, ROOF.0, ROOF.1))?;
        let least = |steps: &[Step]| steps.iter().map(|step| roof.least_ms(step.macs, step.read_bytes + step.write_bytes)).sum::<f64>();
        // Where a step of its own was timed.
        let predicted: Vec<Option<f64>> = (0..layers.len())
            .map(|at| {
                let (old, new) = (before.layers[at].as_ref()?, after.layers[at].as_ref()?);
                Some(old.ms * least(&new.steps) / least(&old.steps))
            })
            .collect();
        let saved = (0..layers.len()).filter_map(|at| Some(before.layers[at].as_ref()?.ms - predicted[at]?));
        let predicted_ms = before.ms - saved.sum::<f64>();
        made.save(&self.out, Stored::F32)?;
        if let Some((file, text)) = python {
            write_file(file, text.as_bytes())?;
        }

        let file_bytes = fs::metadata(&self.out)?.len();
        let params = [chosen.network.graph().params(), made.graph().params()];
        let all_macs = [before.macs, after.macs];
        let ms = |at: usize| [&before, &after].map(|timed| timed.layers[at].as_ref().map(|part| part.ms));
        let (info, precision) = (engine.adapter(), engine.precision().name());
        if self.json {
            let layer = |(at, layer): (usize, &Ghostified)| {
                json!({
                    "name": layer.name, "channels": layer.channels, "kernel": layer.kernel, "intrinsic": layer.intrinsic,
                    "reordered": layer.is_reordered, "error": layer.error, "params": layer.params, "macs": layer.macs, "ms": ms(at),
                    "predicted_ms": predicted[at],
                })
            };
            return print_json(&json!({
                "model": made.name(), "file": self.out, "bytes": file_bytes, "backend": engine.backend(), "adapter": info.name,
                "driver": info.driver, "precision": precision, "params": params, "macs": all_macs, "ms": [before.ms, after.ms],
                "predicted_ms": predicted_ms, "layers": layers.iter().enumerate().map(layer).collect::<Vec<_>>(),
            }));
        }
        use Align::{Left, Right};
        let head = [("layer", Left), ("channels", Right), ("kernel", Right), ("error", Right)].into_iter();
        let pairs = ["parameters", "after", "MACs", "after", "ms", "after", "predicted"].map(|name| (name, Right));
        let head: Vec<_> = head.chain(pairs).collect();
        let time = |ms: Option<f64>| ms.map_or("-".into(), number);
        let row = |(at, layer): (usize, &Ghostified)| {
            let ([c_in, c_out], [kh, kw]) = (layer.channels, layer.kernel);
            let about = [layer.name.clone(), format!("{c_in} -> {c_out}"), format!("{kh} x {kw}"), format!("{:.3}", layer.error)];
            let costs = layer.params.map(count).into_iter().chain(layer.macs.map(macs)).chain(ms(at).map(time));
            about.into_iter().chain(costs).chain([time(predicted[at])]).collect()
        };
        let mut rows: Vec<Vec<String>> = layers.iter().enumerate().map(row).collect();
        let costs = params.map(count).into_iter().chain(all_macs.map(macs)).chain([before.ms, after.ms, predicted_ms].map(number));
        rows.push(["whole network", "", "", ""].map(String::from).into_iter().chain(costs).collect());
        print(&bold(&format!("{}, ratio {}, {} x {}, {precision}\n", made.name(), self.ratio, size[0], size[1])))?;
        print(&table(&head, &rows))?;
        print(&dim("each step timed by itself: for comparing; - is a layer that shares a step with another"))?;
        print(&format!("{}: {}", self.out.display(), bytes(file_bytes)))?;
        aside(&format!("on {}, {}{}", adapter(info), info.driver, fallback(&engine)));
        Ok(())
    }
}

/// Steps of a layer, and how long they take.
struct Part {
    ms: f64,
    steps: Vec<Step>,
}

/// A network's times.
struct Timed {
    ms: f64,
    macs: u64,
    /// Of each layer, if steps of its own compute it.
    layers: Vec<Option<Part>>,
}

impl Timed {
    fn of(engine: &Engine, network: &Network, [h, w]: [usize; 2], iters: usize, layers: &[Ghostified]) -> Result<Self> {
        let (plan, times) = engine.load(network.clone())?.profile(1, h, w, iters)?;
        let macs = Plan::macs(&plan);
        let mut timed = Self { ms: times.iter().sum(), macs, layers: layers.iter().map(|_| None).collect() };
        for (step, ms) in plan.steps.iter().zip(times) {
            // A step is named after its node, or after a part of it.
            let fits = |name: &str| step.name == name || step.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
            let layer = layers.iter().enumerate().filter(|(_, layer)| fits(&layer.name)).max_by_key(|(_, layer)| layer.name.len());
            if let Some((at, _)) = layer {
                let part = timed.layers[at].get_or_insert(Part { ms: 0.0, steps: Vec::new() });
                part.ms += ms;
                part.steps.push(step.clone());
            }
        }
        Ok(timed)
    }
}
