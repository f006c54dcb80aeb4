//! Detectors' cards and results: `Finder` of the package. The network itself runs in another
//! module, and where that uses a GPU, what `around.rs` tells works on it in front of it and behind
//! it.

mod around;

use super::{
    list, object,
    pixels::{Rgba, copied},
};
use crate::{
    AnyTensor, Card, DetectOptions, Error, Result, Tensor, Values,
    detect::{self, Detection, Detector, Wanted},
    image_input::sample::Window,
};
use js_sys::{Array, Float32Array, Uint8Array};
use wasm_bindgen::prelude::*;

/// How pictures become a network's input, and its results detections or points.
#[wasm_bindgen]
pub struct Finder {
    finder: detect::Finder,
    labels: Vec<String>,
    seen: Option<Seen>,
}

/// The picture that was looked at last.
struct Seen {
    /// Rows and columns.
    picture: [usize; 2],
    /// What of it the input shows, or shows one after the other.
    windows: Vec<Window>,
}

#[wasm_bindgen]
impl Finder {
    /// Of a card's decoder and the names of its classes, which may be none.
    #[wasm_bindgen(constructor)]
    pub fn new(decoder: &str, labels: Vec<String>) -> Result<Finder, JsValue> {
        let finder = detect::Finder::of(Some(decoder)).map_err(Error::Model)?.expect("there is one");
        if let detect::Finder::Detector(detector) = &finder
            && detector.proposals.is_some()
        {
            return Err(Error::Model("a detector of two stages does not run in pages".into()).into());
        }
        Ok(Self { finder, labels, seen: None })
    }

    /// The name of the network's input.
    pub fn input_name(&self) -> String {
        self.finder.input().name.clone()
    }

    /// Names of a detection's points, if anybody named them.
    pub fn point_names(&self) -> Vec<String> {
        if let detect::Finder::Detector(detector) = &self.finder { detector.point_names().to_vec() } else { Vec::new() }
    }

    /// Shape of the input for a picture, which is looked at next: of a network for landmarks for as
    /// many boxes in it as there are quadruples in `corners`.
    pub fn look(&mut self, width: u32, height: u32, corners: Option<Vec<f32>>) -> Result<Vec<usize>, JsValue> {
        let picture = [height as usize, width as usize];
        let input = self.finder.input();
        let windows = match (&self.finder, &corners) {
            (detect::Finder::Detector(_), _) => vec![input.fit.window(picture)],
            (detect::Finder::Landmarker(landmarker), Some(corners)) => {
                let size = input.fit.size().expect("a region has a size");
                corners.as_chunks().0.iter().map(|&corners| landmarker.window(corners, size)).collect()
            }
            _ => Vec::new(),
        };
        let Some(window) = windows.first() else { return Err(Error::Model("landmarks are of boxes of four numbers".into()).into()) };
        let shape = input.shape(window.size).to_vec();
        self.seen = Some(Seen { picture, windows });
        Ok(shape)
    }

    /// The input's values for the first box, of the picture's RGBA bytes.
    pub fn input(&self, pixels: Uint8Array) -> Result<Float32Array, JsValue> {
        let Seen { picture: picture @ [h, w], windows } = self.seen()?;
        let values = self.finder.input().tensor(&Rgba::new(&pixels, *w as u32, *h as u32)?, *picture, &windows[0])?;
        Ok(Float32Array::from(&values[..]))
    }

    /// What the network's results say of that input: detections, best first, or points. `numbers`
    /// are the threshold, the overlap and the limit, NaN where the card says it.
    pub fn found(
        &self,
        names: Vec<String>,
        tensors: Vec<Float32Array>,
        shapes: Vec<JsValue>,
        numbers: &[f32],
        only: Option<Vec<String>>,
    ) -> Result<JsValue, JsValue> {
        let Seen { picture: [h, w], windows } = self.seen()?;
        let mut results: Vec<(String, AnyTensor)> = Vec::new();
        for ((name, tensor), shape) in names.into_iter().zip(&tensors).zip(shapes) {
            let shape = lengths(&shape);
            Tensor::check(&shape, tensor.length() as usize)?;
            let data = Values::F32(copied(&name, tensor.length(), |copy| tensor.copy_to(copy))?);
            results.push((name, Tensor { shape, data }));
        }
        self.check(&|wanted| results.iter().find(|(name, _)| name == wanted).map(|(_, tensor)| tensor.shape.clone()))?;
        match &self.finder {
            detect::Finder::Landmarker(landmarker) => Ok(points(&landmarker.points(&results, &windows[0]))),
            detect::Finder::Detector(detector) => {
                let (card, asked) = self.asked(numbers, only)?;
                let wanted = asked.of(detector)?;
                let picture = [*w as f32, *h as f32];
                Ok(detections(detector.detections(&results, None, &windows[0], picture, &wanted, &|class| card.label(class))))
            }
        }
    }
}

impl Finder {
    fn seen(&self) -> Result<&Seen> {
        self.seen.as_ref().ok_or_else(|| Error::Model("no picture was looked at yet".into()))
    }

    /// Whether the network has the results that the card reads, by what `shape` gives of each.
    fn check(&self, shape: &dyn Fn(&str) -> Option<Vec<usize>>) -> Result<()> {
        let lengths = |wanted: &str| {
            shape(wanted).ok_or_else(|| format!("the card names the result `{wanted}`, the network has none of f32 of that name"))
        };
        match &self.finder {
            detect::Finder::Landmarker(landmarker) => landmarker.check(&lengths),
            detect::Finder::Detector(detector) => detector.check(&lengths, self.seen()?.windows[0].size, self.labels.len()),
        }
        .map_err(Error::Model)
    }

    /// A card with the classes' names, and which detections are asked for.
    fn asked(&self, numbers: &[f32], only: Option<Vec<String>>) -> Result<(Card, Asked)> {
        let number = |at: usize| numbers.get(at).copied().filter(|number| !number.is_nan());
        let options = DetectOptions { threshold: number(0), iou: number(1), limit: number(2).map(|limit| limit as usize), labels: only };
        let card = Card { labels: self.labels.clone().into(), ..Card::default() };
        let only = card.only(&options).map_err(Error::Model)?;
        Ok((card, Asked { options, only }))
    }
}

/// Which detections are asked for.
struct Asked {
    options: DetectOptions,
    only: Vec<bool>,
}

impl Asked {
    fn of(&self, detector: &Detector) -> Result<Wanted<'_>> {
        detector.wanted(&self.options, &self.only).map_err(Error::Model)
    }
}

/// Sides that JavaScript lists.
fn lengths(shape: &JsValue) -> Vec<usize> {
    Array::from(shape).iter().map(|side| side.as_f64().unwrap_or(0.0) as usize).collect()
}

fn points(points: &[[f32; 2]]) -> JsValue {
    Float32Array::from(points.as_flattened()).into()
}

fn detections(found: Vec<Detection>) -> JsValue {
    list(&found, detection)
}

fn detection(found: &Detection) -> JsValue {
    let corners: Array = found.corners.iter().map(|&v| JsValue::from(v)).collect();
    object(&[
        ("label", (&found.label).into()),
        ("index", JsValue::from(found.index as u32)),
        ("score", found.score.into()),
        ("box", corners.into()),
        ("points", if found.points.is_empty() { JsValue::UNDEFINED } else { points(&found.points) }),
    ])
    .into()
}
