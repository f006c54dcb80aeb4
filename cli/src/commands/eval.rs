use crate::{
    images::{EXTENSIONS, is_image},
    options::{CardOptions, DeviceOptions, Unweighted, WeightsOption, network, positive},
    output::{Bar, aside, count, device, note, number, one_line, print, print_json, progress, report_text},
};
use anyhow::{Result, anyhow, bail};
use ghostnet::{Class, Error, IN_FLIGHT, Model, Network, image_input, plan::Form};
use rayon::prelude::*;
use serde_json::json;
use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::mpsc,
    time::Instant,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
DIR has one directory per class, named as the network's labels are (in any letter case) or by class number. Names that
match no label are taken in sorted order if there are as many as classes (ImageNet's n01440764 ...). With --json:
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
        let chosen = network(self.model.as_deref(), &self.weights, Unweighted::Refuse, self.card.size())?.described(&self.card)?;
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
        std::thread::scope(|scope| -> Result<()> {
            let (model, batches) = (&model, images.chunks(batch));
            scope.spawn(move || batches.map(|batch| decode(model, batch)).try_for_each(|decoded| sender.send(decoded)));
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
    let one = |(path, class): &Labelled| Ok((model.pixels(&image_input::decode_file(path)?)?, *class));
    images.par_iter().map(one).collect()
}

/// The images of each class's directory, in order of their names.
fn read_classes(directory: &Path, network: &Network) -> Result<Vec<Vec<Labelled>>> {
    let is_hidden = |path: &Path| path.file_name().is_none_or(|n| n.to_string_lossy().starts_with('.'));
    let list = |directory: &Path| -> Result<Vec<PathBuf>> {
        let fail = |e: std::io::Error| {
            let what = if e.kind() == std::io::ErrorKind::NotFound { "no such directory".into() } else { e.to_string() };
            anyhow!("{}: {what}", directory.display())
        };
        let mut paths = fs::read_dir(directory).map_err(fail)?.map(|e| e.map(|e| e.path())).collect::<Result<Vec<_>, _>>().map_err(fail)?;
        paths.retain(|path| !is_hidden(path));
        paths.sort();
        Ok(paths)
    };
    let directories: Vec<PathBuf> = list(directory)?.into_iter().filter(|path| path.is_dir()).collect();
    if directories.is_empty() {
        bail!("{}: has no directories, one per class is needed: DIR/CLASS/*.jpg", directory.display());
    }
    let names: Vec<String> = directories.iter().filter_map(|d| Some(d.file_name()?.to_string_lossy().into_owned())).collect();
    let classes = match_classes(&names, network.labels(), network.classes()).map_err(|what| anyhow!("{}: {what}", directory.display()))?;
    if let Matched::Sorted(_) = classes {
        note("note: no directory's name is a label; taken as the classes in sorted order");
    }
    let is_image = |path: &PathBuf| is_image(path) && !path.is_dir();
    let mut images = Vec::new();
    for (directory, &class) in directories.iter().zip(classes.numbers()) {
        images.push(list(directory)?.into_iter().filter(is_image).map(|path| (path, class)).collect::<Vec<_>>());
    }
    if images.iter().all(Vec::is_empty) {
        bail!("{}: no images ({}) in its class directories", directory.display(), EXTENSIONS.join(", "));
    }
    Ok(images)
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

/// `names` are sorted.
fn match_classes(names: &[String], labels: &[String], classes: usize) -> Result<Matched, String> {
    let find = |name: &String| {
        let exact = labels.iter().position(|label| label == name);
        exact.or_else(|| labels.iter().position(|label| label.to_lowercase() == name.to_lowercase()))
    };
    let found: Vec<Option<usize>> = names.iter().map(find).collect();
    if let Some(numbers) = found.iter().copied().collect() {
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

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| n.to_string()).collect()
    }

    #[test]
    fn directories_are_matched_with_labels() {
        let labels = strings(&["dog", "Cat", "cat", "bird"]);
        let matched = |names: &[&str]| match_classes(&strings(names), &labels, 4);
        assert_eq!(matched(&["Dog", "cat"]), Ok(Matched::Named(vec![0, 2])));
        assert_eq!(matched(&["0", "3"]), Ok(Matched::Named(vec![0, 3])));
        assert_eq!(matched(&["n1", "n2", "n3", "n4"]), Ok(Matched::Sorted(vec![0, 1, 2, 3])));
        assert!(matched(&["bird", "cat", "dgo", "horse"]).unwrap_err().starts_with("`dgo`, `horse` are no classes"));
        assert!(matched(&["0", "4"]).unwrap_err().contains("there are 2 directories"));
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
