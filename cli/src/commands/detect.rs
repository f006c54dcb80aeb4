use crate::{
    draw,
    images::{Source, sources},
    options::{CardOptions, Chosen, DeviceOptions, Unweighted, WeightsOption, WrongUsage, network, of_size, positive},
    output::{aside, bold, device, fit, one_line, print, print_json, report_image, width},
};
use anyhow::{Context as _, Result};
use clap::ValueHint;
use ghostnet::{DetectOptions, Detection, Detector, Engine, Model, image::DynamicImage};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The label of boxes that landmarks are looked for in.
const FACE: &str = "face";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A detector is a network and a card, which says how a picture becomes its input and how its results become boxes. A
one-file network of `ghostnet convert --card` holds it. Boxes and points are in pixels of the picture as shown. With
--json, one object per image, each on its own line:
  {\"image\", \"model\", \"backend\", \"adapter\", \"width\", \"height\",
   \"detections\": [{\"label\", \"index\", \"score\", \"box\": [x1, y1, x2, y2], \"points\"?, \"landmarks\"?}]}, or {\"image\", \"error\"}

Examples:
  ghostnet detect --model yunet_n_320.onnx --card yunet.json photo.jpg --draw found.png
  ghostnet detect --model detector.safetensors photos/ --draw found/ --only person,dog
  ghostnet detect --model yunet.safetensors --landmarks pfld.safetensors photo.jpg --json")]
pub struct Args {
    /// Images: JPEG, PNG, WebP, BMP or GIF; folders of them; - for one from stdin
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// The detector: a path to a one-file network or an ONNX file, or hub repository pulled before
    #[arg(short, long, value_name = "M")]
    model: String,
    /// What it takes and gives, where its file does not say
    #[arg(long, value_name = "FILE.json", value_hint = ValueHint::FilePath)]
    card: Option<PathBuf>,
    /// A network for landmarks, which looks at every box of the class `face`
    #[arg(long, value_name = "M2")]
    landmarks: Option<String>,
    /// What that network takes and gives, where its file does not say
    #[arg(long, value_name = "FILE.json", requires = "landmarks", value_hint = ValueHint::FilePath)]
    landmarks_card: Option<PathBuf>,
    /// None with a score up to this, 0 to 1 [default: the card's]
    #[arg(short, long, value_name = "T", value_parser = share)]
    threshold: Option<f32>,
    /// Of two that overlap by more than this the better one stays, 0 to 1 [default: the card's]
    #[arg(long, value_name = "U", value_parser = share)]
    iou: Option<f32>,
    /// At most so many in an image, the best [default: the card's]
    #[arg(short = 'k', long, value_name = "N", value_parser = positive)]
    limit: Option<usize>,
    /// None but of these classes
    #[arg(long, value_name = "LABEL,LABEL", value_delimiter = ',')]
    only: Vec<String>,
    /// Draw what was found: a PNG or JPEG, a folder, or a name with `{stem}` for several images
    #[arg(long, value_name = "OUT.png", value_parser = picture, value_hint = ValueHint::FilePath)]
    draw: Option<PathBuf>,
    /// Draw over files that are there
    #[arg(long, requires = "draw")]
    force: bool,
    /// Print JSON, one object per image
    #[arg(short, long)]
    json: bool,
    #[command(flatten)]
    device: DeviceOptions,
}

fn share(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| "a number from 0 to 1 is needed".into())
}

/// Refuses kinds of pictures that are not written.
fn picture(name: &str) -> Result<PathBuf, String> {
    let file = PathBuf::from(name);
    let is_known = |extension: &std::ffi::OsStr| ["png", "jpg", "jpeg"].iter().any(|known| extension.eq_ignore_ascii_case(known));
    match file.extension() {
        Some(extension) if !is_known(extension) && !file.is_dir() => Err("pictures are drawn as PNG or JPEG".into()),
        _ => Ok(file),
    }
}

/// A network with its card, on the device.
fn load(engine: &Engine, model: &str, card: Option<&Path>) -> Result<(Model, String)> {
    let chosen = network(Some(model), &WeightsOption { weights: None }, Unweighted::Refuse, &of_size(None))?;
    let Chosen { network, name } = chosen.described(&CardOptions::of(card))?;
    Ok((engine.load(network)?, name))
}

/// Where pictures are drawn.
enum Place {
    One(PathBuf),
    Folder(PathBuf),
    /// With `{stem}` in its name.
    Pattern(String),
}

impl Place {
    fn of(draw: &Path, images: usize) -> Result<Self> {
        let text = draw.to_string_lossy();
        if text.contains("{stem}") {
            return Ok(Self::Pattern(text.into_owned()));
        }
        if draw.is_dir() || text.ends_with('/') || draw.extension().is_none() {
            return Ok(Self::Folder(draw.into()));
        }
        if images > 1 {
            return Err(WrongUsage(
                format!("--draw {text} is one file, and there are {images} images: name a folder, or a file with {{stem}}").into(),
            )
            .into());
        }
        Ok(Self::One(draw.into()))
    }

    fn file(&self, source: &Source) -> Result<PathBuf> {
        let stem = match source {
            Source::File(path) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            _ => "stdin".into(),
        };
        Ok(match self {
            Self::One(path) => path.clone(),
            Self::Folder(folder) => {
                std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
                folder.join(stem + ".png")
            }
            Self::Pattern(pattern) => pattern.replace("{stem}", &stem).into(),
        })
    }
}

/// What was found in one image.
struct Found {
    width: u32,
    height: u32,
    detections: Vec<Detection>,
    /// Of each of them, none where it is no face.
    landmarks: Vec<Vec<[f32; 2]>>,
}

impl Found {
    fn in_image(image: &DynamicImage, detector: &Model, landmarker: Option<&Model>, options: &DetectOptions) -> ghostnet::Result<Self> {
        let detections = detector.detect(image, options)?;
        let mut landmarks = vec![Vec::new(); detections.len()];
        if let Some(landmarker) = landmarker {
            let (places, faces): (Vec<usize>, Vec<Detection>) =
                detections.iter().cloned().enumerate().filter(|(_, detection)| detection.label == FACE).unzip();
            for (place, points) in places.into_iter().zip(landmarker.landmarks(image, &faces)?) {
                landmarks[place] = points;
            }
        }
        Ok(Self { width: image.width(), height: image.height(), detections, landmarks })
    }

    fn json(&self) -> Vec<Value> {
        let one = |(detection, landmarks): (&Detection, &Vec<[f32; 2]>)| {
            let Detection { label, index, score, corners, points, .. } = detection;
            let mut one = json!({ "label": label, "index": index, "score": score, "box": corners });
            for (key, points) in [("points", points), ("landmarks", landmarks)] {
                if !points.is_empty() {
                    one[key] = json!(points);
                }
            }
            one
        };
        self.detections.iter().zip(&self.landmarks).map(one).collect()
    }
}

impl Args {
    pub fn run(self) -> Result<ExitCode> {
        self.device.check()?;
        let sources = sources(self.images);
        let place = self.draw.as_deref().map(|draw| Place::of(draw, sources.len())).transpose()?;
        let engine = self.device.engine()?;
        let (detector, name) = load(&engine, &self.model, self.card.as_deref())?;
        if let Some(unknown) = self.only.iter().find(|label| !detector.network().labels().contains(label)) {
            let some: Vec<&str> = detector.network().labels().iter().take(10).map(String::as_str).collect();
            return Err(WrongUsage(format!("--only {unknown}: {name} knows {}", some.join(", ")).into()).into());
        }
        let landmarker = self.landmarks.as_deref().map(|model| load(&engine, model, self.landmarks_card.as_deref())).transpose()?;
        let landmarker = landmarker.as_ref().map(|(model, _)| model);
        let options = DetectOptions::default().threshold(self.threshold).iou(self.iou).limit(self.limit);
        let options = options.labels((!self.only.is_empty()).then(|| self.only.clone()));
        let threshold = self.threshold.or(detector.network().detector().map(Detector::threshold));
        let (mut status, mut is_any_good) = (ExitCode::SUCCESS, false);
        for source in &sources {
            let image = source.to_string();
            let found = source.with_image(|picture| {
                let found = Found::in_image(picture, &detector, landmarker, &options)?;
                let drawn = place.as_ref().map(|_| draw::drawn(picture, &found.detections, &found.landmarks));
                Ok((found, drawn))
            });
            let found = match found {
                // What no picture can mend.
                Err(error @ (ghostnet::Error::Model(_) | ghostnet::Error::Gpu(_) | ghostnet::Error::DeviceLost(_))) => {
                    return Err(error.into());
                }
                found => found.map_err(anyhow::Error::from).and_then(|(found, drawn)| {
                    if let Some((place, drawn)) = place.as_ref().zip(drawn) {
                        draw::write(&place.file(source)?, &drawn, self.force)?;
                    }
                    Ok(found)
                }),
            };
            match found {
                Err(error) => {
                    report_image(&image, &error.to_string(), self.json)?;
                    status = ExitCode::FAILURE;
                }
                Ok(found) => {
                    is_any_good = true;
                    if self.json {
                        print_json(&json!({
                            "image": image, "model": name, "backend": engine.backend(), "adapter": engine.adapter().name,
                            "width": found.width, "height": found.height, "detections": found.json(),
                        }))?;
                    } else {
                        print(&answer(&image, &found.detections, threshold.unwrap_or(0.0)))?;
                    }
                }
            }
        }
        if !self.json && is_any_good {
            aside(&format!("{name} on {}", device(&engine)));
        }
        Ok(status)
    }
}

/// The image's name, then for each detection its label, score and box.
fn answer(name: &str, found: &[Detection], threshold: f32) -> String {
    let columns = width().unwrap_or(80);
    let mut lines = vec![bold(&fit(&one_line(name), columns))];
    if found.is_empty() {
        lines.push(format!("  no detections above {threshold:.2}"));
    }
    const NUMBERS: usize = 32;
    let room = columns.saturating_sub(NUMBERS).max(4);
    let longest = found.iter().map(|detection| detection.label.chars().count()).max().unwrap_or(0).min(room);
    for Detection { label, score, corners, .. } in found {
        let label = fit(&one_line(label), room);
        let [x1, y1, x2, y2] = corners.map(|v| v.round() as i64);
        lines.push(format!("  {label:longest$}  {score:.2}  {x1:>4},{y1:<4} to {x2:>4},{y2}"));
    }
    lines.join("\n")
}
