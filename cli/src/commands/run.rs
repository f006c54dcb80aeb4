use crate::{
    options::{DeviceOptions, Unweighted, WeightsOption, WrongUsage, network},
    output::{aside, device, number, print, print_json},
};
use anyhow::{Result, anyhow, bail};
use clap::ValueHint;
use ghostnet::{AnyTensor, Model, Network, Open, Values, npy};
use serde_json::json;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Range,
    path::{Path, PathBuf},
    time::Instant,
};

/// Images of one run of a long input; bounds the device's memory, and changes no result.
const BATCH: usize = 64;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A network of several inputs or results takes --input NAME=X.npy and --output NAME=Y.npy, each as often as needed;
--outputs DIR writes every result. `ghostnet inspect M` shows their names, types and sides. With --json:
  {\"backend\", \"adapter\", \"shape\", \"ms\"}, and of several files \"outputs\": [{\"name\", \"shape\", \"file\"}]

Examples:
  ghostnet run --input x.npy --output y.npy
  python preprocess.py | ghostnet run --input - --output - | python postprocess.py
  ghostnet run --model ghostnet_100 --weights ghostnet_100.safetensors --input x.npy --output y.npy
  ghostnet run --model two.safetensors --input left=l.npy --input right=r.npy --outputs results/")]
pub struct Args {
    /// A network, path to weights, or hub repository pulled before [default: ghostnet_050_cifar10]
    #[arg(short, long, value_name = "M")]
    model: Option<String>,
    #[command(flatten)]
    weights: WeightsOption,
    /// Input: of an image network f32 [n, 3, h, w], already normalised; - for stdin
    #[arg(short, long, value_name = "[NAME=]X.npy", required = true, value_hint = ValueHint::FilePath)]
    input: Vec<String>,
    /// Where a result goes: of an image network f32 [n, classes], logits; written whole or not at
    /// all; - for stdout
    #[arg(short, long, value_name = "[NAME=]Y.npy", required_unless_present = "outputs", value_hint = ValueHint::FilePath)]
    output: Vec<String>,
    /// Write every result as DIR/NAME.npy; characters other than A-Z a-z 0-9 . _ - become _
    #[arg(long, value_name = "DIR")]
    outputs: Option<PathBuf>,
    /// Print a JSON object
    #[arg(short, long)]
    json: bool,
    #[command(flatten)]
    device: DeviceOptions,
}

/// A result, and the files that it goes to.
struct Written {
    name: String,
    files: Vec<PathBuf>,
}

impl Args {
    pub fn run(self) -> Result<()> {
        self.device.check()?;
        let to_stdout = self.output.iter().filter(|text| file_of(text) == Path::new("-")).count();
        if to_stdout > 1 || to_stdout > 0 && self.json {
            return Err(WrongUsage("stdout takes one result, and none beside --json".into()).into());
        }
        let stdin = match self.input.iter().filter(|text| file_of(text) == Path::new("-")).count() {
            0 => None,
            1 => Some(npy::read_from(Path::new("-"), &mut io::stdin().lock())?),
            _ => return Err(WrongUsage("stdin gives one input".into()).into()),
        };
        let mut read: BTreeMap<&str, AnyTensor> = stdin.map(|tensor| ("-", tensor)).into_iter().collect();
        let size = self.size(read.get("-"));
        // Those with a name may be what an ONNX file's shapes depend on. What is wrong with a file
        // is said when its input is made.
        let (mut files, mut given) = (Vec::new(), Vec::new());
        for (name, file) in self.input.iter().filter_map(|text| text.split_once('=')) {
            if let Some(tensor) = read.remove(file).or_else(|| npy::read_any(Path::new(file)).ok()) {
                files.push(file);
                given.push((name.to_string(), tensor));
            }
        }
        let chosen = network(self.model.as_deref(), &self.weights, Unweighted::Refuse, &Open { size, given: &given })?;
        read.extend(files.into_iter().zip(given.into_iter().map(|(_, tensor)| tensor)));
        let inputs = self.inputs(&chosen.network, read)?;
        let written = self.written(&chosen.network)?;
        let engine = self.device.engine()?;
        let model = engine.load(chosen.network)?;
        let (results, ms) = run(&model, &inputs)?;
        if let Some(directory) = &self.outputs {
            std::fs::create_dir_all(directory).map_err(|error| anyhow!("{}: {error}", directory.display()))?;
        }
        let mut outputs = Vec::new();
        for Written { name, files } in &written {
            let Some((_, tensor)) = results.iter().find(|(known, _)| known == name) else { bail!("no result `{name}` came back") };
            for file in files {
                match file == Path::new("-") {
                    true => npy::write_to(file, io::stdout().lock(), tensor)?,
                    false => npy::write_any(file, tensor)?,
                }
                outputs.push((name, &tensor.shape, file));
            }
        }
        if self.json {
            let mut answer = json!({
                "backend": engine.backend(), "adapter": engine.adapter().name, "shape": outputs.first().map(|(_, shape, _)| shape), "ms": ms,
            });
            if outputs.len() > 1 {
                let list = outputs.iter().map(|(name, shape, file)| json!({ "name": name, "shape": shape, "file": file }));
                answer["outputs"] = list.collect();
            }
            return print_json(&answer);
        }
        for (_, shape, file) in outputs.iter().filter(|(_, _, file)| *file != Path::new("-")) {
            print(&format!("{}: {shape:?}", file.display()))?;
        }
        aside(&format!("{} in {} ms on {}", chosen.name, number(ms), device(&engine)));
        Ok(())
    }

    /// Rows and columns of the first input that may be maps, for networks that leave them open.
    fn size(&self, stdin: Option<&AnyTensor>) -> Option<[usize; 2]> {
        // What is wrong with a file is said when it is read for its input.
        let shape = |text| match file_of(text) {
            file if file == Path::new("-") => stdin.map(|tensor| tensor.shape.clone()),
            file => npy::shape(file).ok(),
        };
        let shapes = self.input.iter().filter_map(|text| shape(text));
        shapes.filter(|shape| shape.len() == 4).map(|shape| [shape[2], shape[3]]).next()
    }

    /// The tensors of the inputs by name; `read` has those of files that were read before.
    fn inputs(&self, network: &Network, mut read: BTreeMap<&str, AnyTensor>) -> Result<Vec<(String, AnyTensor)>> {
        let known: Vec<&str> = network.graph().inputs().iter().map(|input| &*input.name).collect();
        let mut inputs: Vec<(String, AnyTensor)> = Vec::new();
        let is_constant =
            |text: &&String| text.split_once('=').is_some_and(|(name, _)| network.constants().iter().any(|known| known == name));
        for text in self.input.iter().filter(|text| !is_constant(text)) {
            let (name, file) = named(text, &known, "input")?;
            if inputs.iter().any(|(other, _)| *other == name) {
                bail!("input `{name}` is given twice");
            }
            let tensor = match read.remove(file) {
                Some(tensor) => tensor,
                None => npy::read_any(Path::new(file))?,
            };
            check(network, &name, &tensor).map_err(|what| anyhow!("{file}: {what}"))?;
            inputs.push((name, tensor));
        }
        let missing: Vec<&str> = known.into_iter().filter(|name| inputs.iter().all(|(given, _)| given != name)).collect();
        if !missing.is_empty() {
            bail!("no tensor for the input {}: --input NAME=X.npy gives one", missing.join(", "));
        }
        Ok(inputs)
    }

    /// Which results are written, and where.
    fn written(&self, network: &Network) -> Result<Vec<Written>> {
        let known: Vec<&str> = network.graph().results().map(|(name, _)| name).collect();
        let mut written: Vec<Written> = known.iter().map(|name| Written { name: name.to_string(), files: Vec::new() }).collect();
        for text in &self.output {
            // Without a name the first result, of which most networks have no other.
            let (name, file) = match text.split_once('=') {
                None if known.len() > 1 => {
                    bail!(
                        "the network has {} results, {}: --output NAME={text} writes one, --outputs DIR all",
                        known.len(),
                        known.join(", ")
                    )
                }
                _ => named(text, &known, "result")?,
            };
            written.iter_mut().filter(|result| result.name == name).for_each(|result| result.files.push(file.into()));
        }
        if let Some(directory) = &self.outputs {
            let mut taken = BTreeSet::new();
            for result in &mut written {
                let file = file_name(&result.name);
                if !taken.insert(file.clone()) {
                    bail!("two results would be written to {file}: give each a file with --output NAME=Y.npy");
                }
                result.files.push(directory.join(file));
            }
        }
        Ok(written)
    }
}

/// Whether a tensor is what the input takes; the error says what it takes.
fn check(network: &Network, name: &str, tensor: &AnyTensor) -> Result<(), String> {
    let graph = network.graph();
    let Some(input) = graph.inputs().iter().find(|input| input.name == name) else { return Ok(()) };
    if tensor.data.element() != input.tensor.element {
        return Err(format!("holds {}, {} is needed", tensor.data.element().name(), input.tensor));
    }
    let (given, takes) = (input.tensor.shape_of(&tensor.shape)?.c, graph.channels(input.node));
    if given != takes {
        return Err(format!("has shape {:?}, {given} channels; the network takes {takes}", tensor.shape));
    }
    Ok(())
}

/// The file of `[NAME=]FILE`. A file's name may hold `=` too.
fn file_of(text: &str) -> &Path {
    match text.split_once('=') {
        Some((_, file)) if !Path::new(text).exists() => Path::new(file),
        _ => Path::new(text),
    }
}

/// What `NAME=FILE` says, or the only one of `known` for a file alone. A file's name may hold `=`
/// too.
fn named<'a>(text: &'a str, known: &[&str], what: &str) -> Result<(String, &'a str)> {
    if let Some((name, file)) = text.split_once('=')
        && known.contains(&name)
    {
        return Ok((name.into(), file));
    }
    match (known, text.split_once('=')) {
        ([only], None) => Ok((only.to_string(), text)),
        ([only], Some(_)) if Path::new(text).exists() => Ok((only.to_string(), text)),
        (_, Some((name, _))) => bail!("no {what} is called `{name}`: there are {}", known.join(", ")),
        (_, None) => bail!("the network has {} {what}s, {}: NAME={text} says which", known.len(), known.join(", ")),
    }
}

/// A result's name as that of a file.
fn file_name(name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' };
    format!("{}.npy", name.chars().map(safe).collect::<String>())
}

/// Runs a network on tensors, a long batch in several runs; the results by name, and milliseconds.
fn run(model: &Model, inputs: &[(String, AnyTensor)]) -> Result<(Vec<(String, AnyTensor)>, f64)> {
    let graph = model.network().graph();
    let ends = graph.inputs().iter().map(|input| input.tensor.clone()).chain(graph.results().map(|(_, tensor)| tensor));
    let images = inputs.first().and_then(|(_, tensor)| tensor.shape.first().copied()).unwrap_or(1);
    let same = inputs.iter().all(|(_, tensor)| tensor.shape.first() == Some(&images));
    let batch = if same && ends.into_iter().all(|tensor| tensor.is_batched()) { BATCH.min(images.max(1)) } else { images.max(1) };
    let parts = (0..images.max(1)).step_by(batch).map(|first| {
        let range = first..(first + batch).min(images.max(1));
        inputs.iter().map(|(name, tensor)| (&name[..], part(tensor, images, &range))).collect::<Vec<_>>()
    });
    let mut results: Vec<(String, AnyTensor)> = Vec::new();
    let mut ms = 0.0;
    for (at, part) in parts.enumerate() {
        let given: Vec<(&str, &AnyTensor)> = part.iter().map(|(name, tensor)| (*name, &**tensor)).collect();
        if at == 0 {
            model.prepare_named(&given)?;
        }
        let start = Instant::now();
        let of_part = model.run_named(&given)?;
        ms += start.elapsed().as_secs_f64() * 1e3;
        if results.is_empty() {
            results = of_part;
        } else {
            results.iter_mut().zip(of_part).for_each(|((_, all), (_, more))| append(all, more));
        }
    }
    Ok((results, ms))
}

/// Some of a tensor's images, which its first side counts.
fn part<'a>(tensor: &'a AnyTensor, images: usize, range: &Range<usize>) -> Cow<'a, AnyTensor> {
    if images == 0 || range.len() == images {
        return Cow::Borrowed(tensor);
    }
    let of_image = tensor.data.len() / images;
    let values = range.start * of_image..range.end * of_image;
    let data = match &tensor.data {
        Values::F32(data) => Values::F32(data[values].to_vec()),
        Values::I32(data) => Values::I32(data[values].to_vec()),
        Values::I64(data) => Values::I64(data[values].to_vec()),
        Values::Bool(data) => Values::Bool(data[values].to_vec()),
    };
    let shape = [&[range.len()], &tensor.shape[1..]].concat();
    Cow::Owned(AnyTensor { shape, data })
}

/// Puts more images behind those of a tensor.
fn append(all: &mut AnyTensor, more: AnyTensor) {
    all.shape[0] += more.shape[0];
    match (&mut all.data, more.data) {
        (Values::F32(all), Values::F32(more)) => all.extend(more),
        (Values::I32(all), Values::I32(more)) => all.extend(more),
        (Values::I64(all), Values::I64(more)) => all.extend(more),
        (Values::Bool(all), Values::Bool(more)) => all.extend(more),
        _ => unreachable!("a result has one type"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_files() {
        assert_eq!(file_name("a/b:c 1.x-y_Z"), "a_b_c_1.x-y_Z.npy");
        assert_eq!(named("x=y.npy", &["x", "z"], "input").unwrap(), ("x".into(), "y.npy"));
        assert_eq!(named("y.npy", &["x"], "input").unwrap(), ("x".into(), "y.npy"));
        let wrong = |text, known: &[&str]| named(text, known, "input").unwrap_err().to_string();
        assert_eq!(wrong("q=y.npy", &["x", "z"]), "no input is called `q`: there are x, z");
        assert_eq!(wrong("y.npy", &["x", "z"]), "the network has 2 inputs, x, z: NAME=y.npy says which");
    }

    #[test]
    fn parts_are_put_together_again() {
        let whole = AnyTensor { shape: vec![3, 2], data: Values::I64(vec![1, 2, 3, 4, 5, 6]) };
        let mut first = part(&whole, 3, &(0..2)).into_owned();
        append(&mut first, part(&whole, 3, &(2..3)).into_owned());
        assert_eq!(first, whole);
    }
}
