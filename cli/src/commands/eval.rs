use crate::{
    images::{EXTENSIONS, Source, list, note_left_out, walk},
    options::{CardOptions, DeviceOptions, Unweighted, WeightsOption, network, of_size, positive},
    output::{Bar, aside, count, device, note, number, one_line, print, print_json, progress, report_text},
};
use anyhow::{Result, anyhow, bail};
use ghostnet::{Class, Error, IN_FLIGHT, Model, Network, image_input, low_level::with_threads, plan::Form};
use rayon::prelude::*;
use serde_json::json;
use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap, VecDeque},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::mpsc,
    thread,
    time::Instant,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
DIR has one directory per class, named by any of the class's names (in any letter case) or by its number. Names that
match none are taken in timm's natural order (class2 before class10) if there are as many as classes (ImageNet's
n01440764 ...). Images may lie deeper in a class's directory. With --json:
  {\"images\", \"top1\", \"top5\", \"images_per_s\"}, top1 and top5 from 0 to 1

Example:
  ghostnet eval cifar10/test --limit 1000")]
pub struct Args {
    /// Images as DIR/CLASS/*.jpg (or .png, .webp, .bmp, .gif)
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// A network, path to weights, or hub repository pulled before [default: ghostnet_050_cifar10]
    #[arg(short, long, value_name = "M")]
    model: Option<String>,
    #[command(flatten)]
    weights: WeightsOption,
    /// At most so many images, spread evenly over the classes
    #[arg(short = 'n', long, value_name = "N", value_parser = positive)]
    limit: Option<usize>,
    /// Images of one run
    #[arg(short, long, value_name = "N", default_value = "32", value_parser = positive)]
    batch: usize,
    /// Print a JSON object
    #[arg(short, long)]
    json: bool,
    #[command(flatten)]
    card: CardOptions,
    #[command(flatten)]
    device: DeviceOptions,
}

/// An image and its class.
type Labelled = (PathBuf, usize);

impl Args {
    pub fn run(self) -> Result<ExitCode> {
        self.device.check()?;
        let chosen =
            network(self.model.as_deref(), &self.weights, Unweighted::Refuse, &of_size(self.card.size()))?.described(&self.card)?;
        let images = spread(read_classes(&self.directory, &chosen.network)?, self.limit);
        let engine = self.device.engine()?;
        let model = engine.load(chosen.network)?;
        let [h, w] = model.network().preprocess()?.size;
        let batch = self.batch.min(images.len());
        let k = 5.min(model.network().classes());
        let mut session = model.session(batch, h, w, Form::Classify { k }, IN_FLIGHT)?;

        let bar = progress(images.len() as u64, Bar::IMAGES);
        let start = Instant::now();
        let mut score = Score::default();
        let mut damaged = 0;
        // While the device works on some batches, one waits for it and the next is decoded. More
        // are never in memory.
        let (sender, decoded) = mpsc::sync_channel(1);
        thread::scope(|scope| -> Result<()> {
            let (model, batches) = (&model, images.chunks(batch));
            let work = move || batches.map(|batch| decode(model, batch)).try_for_each(|decoded| sender.send(decoded));
            // Without a thread each batch is decoded when it is needed.
            let decoded: Box<dyn Iterator<Item = _>> = match thread::Builder::new().spawn_scoped(scope, work) {
                Ok(_) => Box::new(decoded.into_iter()),
                Err(_) => Box::new(images.chunks(batch).map(|batch| decode(model, batch))),
            };
            let mut count = |classes: Vec<Vec<Class>>, truth: &[usize]| {
                for (answer, &class) in classes.iter().zip(truth) {
                    score.add(answer, class);
                }
                bar.inc(truth.len() as u64);
                bar.set_message(format!("top-1 {:.1} %", 100.0 * score.share(score.top1)));
            };
            let mut pending = VecDeque::new();
            for decoded in decoded {
                let (good, errors): (Vec<_>, Vec<_>) = decoded.into_iter().partition(Result::is_ok);
                for error in errors.iter().filter_map(|e| e.as_ref().err()) {
                    bar.suspend(|| report_text(&error.to_string()));
                }
                damaged += errors.len();
                bar.inc(errors.len() as u64);
                let (pixels, truth): (Vec<_>, Vec<_>) = good.into_iter().flatten().unzip();
                if !pixels.is_empty() {
                    pending.push_back((session.submit_pixels(&pixels.concat())?, truth));
                }
                if pending.len() == IN_FLIGHT
                    && let Some((oldest, truth)) = pending.pop_front()
                {
                    count(oldest.wait()?, &truth);
                }
            }
            for (rest, truth) in pending {
                count(rest.wait()?, &truth);
            }
            Ok(())
        })?;
        bar.finish_and_clear();
        if score.images == 0 {
            // Each was reported.
            return Ok(ExitCode::FAILURE);
        }
        let images_per_s = score.images as f64 / start.elapsed().as_secs_f64();
        let (top1, top5) = (score.share(score.top1), score.share(score.top5));
        if self.json {
            print_json(&json!({ "images": score.images, "top1": top1, "top5": top5, "images_per_s": images_per_s }))?;
        } else {
            print(&format!(
                "{} images: top-1 {:.2} %, top-{k} {:.2} %\n{} images/s",
                count(score.images as u64),
                100.0 * top1,
                100.0 * top5,
                number(images_per_s),
            ))?;
            aside(&format!("{} on {}", chosen.name, device(&engine)));
        }
        Ok(if damaged == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

#[derive(Default)]
struct Score {
    images: usize,
    top1: usize,
    top5: usize,
}

impl Score {
    fn add(&mut self, answer: &[Class], class: usize) {
        self.images += 1;
        self.top1 += usize::from(answer.first().is_some_and(|c| c.index == class));
        self.top5 += usize::from(answer.iter().any(|c| c.index == class));
    }

    fn share(&self, right: usize) -> f64 {
        right as f64 / self.images.max(1) as f64
    }
}

/// Each image as the network takes it, and its class.
fn decode(model: &Model, images: &[Labelled]) -> Vec<Result<(Vec<u32>, usize), Error>> {
    let one = |(path, class): &Labelled| Ok((image_input::with_file(path, |image| model.pixels(image))?, *class));
    with_threads(|| images.par_iter().map(one).collect())
}

/// The images of each class's directory, in order of their paths.
fn read_classes(directory: &Path, network: &Network) -> Result<Vec<Vec<Labelled>>> {
    let directories: Vec<PathBuf> = list(directory)?.into_iter().filter(|path| path.is_dir()).collect();
    if directories.is_empty() {
        bail!("{}: has no directories, one per class is needed: DIR/CLASS/*.jpg", directory.display());
    }
    let mut left_out = BTreeMap::new();
    let mut found: Vec<(String, Vec<PathBuf>)> = Vec::new();
    for directory in directories {
        let mut sources = Vec::new();
        walk(&directory, &mut sources, &mut left_out);
        let images = sources.into_iter().map(Source::file).collect::<ghostnet::Result<Vec<PathBuf>>>()?;
        // A stray directory without images is no class.
        if !images.is_empty() {
            found.push((directory.file_name().unwrap_or_default().to_string_lossy().into_owned(), images));
        }
    }
    note_left_out(&left_out);
    if found.is_empty() {
        bail!("{}: no images ({}) in its class directories", directory.display(), EXTENSIONS.join(", "));
    }
    // The classes' order where no name is one of the network's.
    found.sort_by(|(a, _), (b, _)| natural(a, b));
    let names: Vec<&str> = found.iter().map(|(name, _)| &**name).collect();
    let known = [network.labels(), network.label_names()];
    let classes = match_classes(&names, known, network.classes()).map_err(|what| anyhow!("{}: {what}", directory.display()))?;
    if let Matched::Sorted(_) = classes {
        let order = if names.is_sorted() { "" } else { "; text order, as torchvision's, is another" };
        note(&format!("note: no directory's name is a label; taken as the classes in natural order, as timm's{order}"));
    }
    let images = found.iter().zip(classes.numbers());
    Ok(images.map(|((_, images), &class)| images.iter().map(|path| (path.clone(), class)).collect()).collect())
}

/// The order of timm's `natural_key`: runs of digits count as numbers, letter case does not.
fn natural(a: &str, b: &str) -> Ordering {
    fn parts(text: &str) -> impl Iterator<Item = (bool, &str)> {
        let parts = text.as_bytes().chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
        let mut start = 0;
        parts.map(move |part| {
            start += part.len();
            (part[0].is_ascii_digit(), &text[start - part.len()..start])
        })
    }
    // Digits without zeros in front: the longer are the larger number. Digits come before letters,
    // as an empty text would between them.
    let key = |(is_number, part): (bool, &str)| {
        let digits = part.trim_start_matches('0');
        if is_number { (0, digits.len(), digits.to_string()) } else { (1, 0, part.to_lowercase()) }
    };
    parts(a).map(key).cmp(parts(b).map(key)).then_with(|| a.cmp(b))
}

/// Each directory's class, and how it was found.
#[derive(Debug, PartialEq)]
enum Matched {
    Named(Vec<usize>),
    Sorted(Vec<usize>),
}

impl Matched {
    fn numbers(&self) -> &[usize] {
        let (Matched::Named(numbers) | Matched::Sorted(numbers)) = self;
        numbers
    }
}

/// `names` are sorted; `known` are the classes' names, of one kind and of another.
fn match_classes(names: &[&str], known: [&[String]; 2], classes: usize) -> Result<Matched, String> {
    // What a name may stand for: exactly, before in another letter case; no class where it stands
    // for two.
    let mut exact: HashMap<&str, Option<usize>> = HashMap::new();
    let mut lower: HashMap<String, Option<usize>> = HashMap::new();
    fn note_class<K: Eq + std::hash::Hash>(map: &mut HashMap<K, Option<usize>>, name: K, class: usize) {
        map.entry(name).and_modify(|known| *known = known.filter(|known| *known == class)).or_insert(Some(class));
    }
    for (class, label) in known.iter().flat_map(|labels| labels.iter().enumerate()) {
        note_class(&mut exact, label, class);
        note_class(&mut lower, label.to_lowercase(), class);
    }
    let find = |name: &str| exact.get(name).or_else(|| lower.get(&name.to_lowercase())).copied();
    let found: Vec<Option<Option<usize>>> = names.iter().map(|name| find(name)).collect();
    if let Some(name) = names.iter().zip(&found).find_map(|(name, found)| (*found == Some(None)).then_some(name)) {
        return Err(format!("several classes are called `{}`: name the directories by their numbers", one_line(name)));
    }
    if let Some(numbers) = found.iter().map(|found| found.flatten()).collect() {
        return Ok(Matched::Named(numbers));
    }
    if found.iter().all(Option::is_none) {
        let numbers: Option<Vec<usize>> = names.iter().map(|name| name.parse().ok().filter(|&n| n < classes)).collect();
        if let Some(numbers) = numbers {
            return Ok(Matched::Named(numbers));
        }
        if names.len() == classes {
            return Ok(Matched::Sorted((0..classes).collect()));
        }
    }
    const SHOWN: usize = 5;
    let unknown: Vec<String> = names.iter().zip(&found).filter(|(_, f)| f.is_none()).map(|(n, _)| format!("`{}`", one_line(n))).collect();
    let more = if unknown.len() > SHOWN { format!(" and {} more", unknown.len() - SHOWN) } else { String::new() };
    let shown = unknown[..unknown.len().min(SHOWN)].join(", ");
    let are = if unknown.len() == 1 { "is no class" } else { "are no classes" };
    Err(format!("{shown}{more} {are} of the network, which has {classes}, and there are {} directories", names.len()))
}

/// At most `limit` images: the first of every class, then the second of every class, and so on; by
/// class in the end.
fn spread(classes: Vec<Vec<Labelled>>, limit: Option<usize>) -> Vec<Labelled> {
    let total: usize = classes.iter().map(Vec::len).sum();
    let mut taken = vec![0; classes.len()];
    let mut left = limit.unwrap_or(total).min(total);
    while left > 0 {
        for (taken, class) in taken.iter_mut().zip(&classes) {
            if left > 0 && *taken < class.len() {
                *taken += 1;
                left -= 1;
            }
        }
    }
    classes.into_iter().zip(taken).flat_map(|(class, taken)| class.into_iter().take(taken)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_matched_with_labels() {
        let labels = ["dog", "Cat", "cat", "bird"].map(String::from);
        let matched = |names: &[&str]| match_classes(names, [&labels, &[]], 4);
        assert_eq!(matched(&["Dog", "cat"]), Ok(Matched::Named(vec![0, 2])));
        assert_eq!(matched(&["0", "3"]), Ok(Matched::Named(vec![0, 3])));
        assert_eq!(matched(&["n1", "n2", "n3", "n4"]), Ok(Matched::Sorted(vec![0, 1, 2, 3])));
        assert!(matched(&["bird", "cat", "dgo", "horse"]).unwrap_err().starts_with("`dgo`, `horse` are no classes"));
        assert!(matched(&["0", "4"]).unwrap_err().contains("there are 2 directories"));
    }

    #[test]
    fn any_name_of_a_class_is_one_and_none_of_two() {
        let labels = ["crane", "tench", "crane"].map(String::from);
        let names = ["n02012849", "n01440764", "n03126707"].map(String::from);
        let matched = |folders: &[&str]| match_classes(folders, [&labels, &names], 3);
        assert_eq!(matched(&["N02012849", "n03126707", "tench"]), Ok(Matched::Named(vec![0, 2, 1])));
        assert!(matched(&["crane", "tench"]).unwrap_err().starts_with("several classes are called `crane`"));
        assert_eq!(matched(&["0", "2"]), Ok(Matched::Named(vec![0, 2])));
        // As many as ImageNet-22k has, in little time.
        let many: Vec<String> = (0..21_841).map(|at| format!("Label {at}")).collect();
        let folders: Vec<String> = many.iter().map(|label| label.to_lowercase()).collect();
        let start = Instant::now();
        let found = match_classes(&folders.iter().map(|name| &**name).collect::<Vec<_>>(), [&many, &[]], many.len());
        assert_eq!(found, Ok(Matched::Named((0..many.len()).collect())));
        assert!(start.elapsed().as_secs() < 2, "{:?}", start.elapsed());
    }

    #[test]
    fn numbers_in_names_are_in_order() {
        let mut names = ["class10", "Class2", "class1", "class02", "10", "9", "class", "b1a2", "b1a10"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["9", "10", "b1a2", "b1a10", "class", "class1", "Class2", "class02", "class10"]);
    }

    #[test]
    fn a_limit_is_spread_over_classes() {
        let classes = |counts: &[usize]| {
            let class = |(class, &n): (usize, &usize)| (0..n).map(|at| (PathBuf::from(at.to_string()), class)).collect();
            counts.iter().enumerate().map(class).collect::<Vec<Vec<Labelled>>>()
        };
        let of = |counts: &[usize], limit| {
            let images = spread(classes(counts), limit);
            (0..counts.len()).map(|class| images.iter().filter(|(_, c)| *c == class).count()).collect::<Vec<_>>()
        };
        assert_eq!(of(&[5, 1, 5], Some(7)), [3, 1, 3]);
        assert_eq!(of(&[5, 5, 5], Some(2)), [1, 1, 0]);
        assert_eq!(of(&[2, 0, 1], None), [2, 0, 1]);
        assert_eq!(of(&[2, 0, 1], Some(100)), [2, 0, 1]);
    }
}
