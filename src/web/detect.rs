//! Detectors' cards and results: `Finder` of the package. The network itself runs in another module.

use super::{
    list, object,
    pixels::{Rgba, copied},
};
use crate::{
    AnyTensor, Card, DetectOptions, Error, Result, Tensor, Values,
    detect::{self, Detection},
    image_input::sample::Window,
};
use js_sys::{Array, Float32Array, Uint8Array};
use wasm_bindgen::prelude::*;

/// How pictures become a network's input, and its results detections or points.
#[wasm_bindgen]
pub struct Finder {
    finder: detect::Finder,
    labels: Vec<String>,
    /// What the input showed that was made last, and the width and height of its picture.
    shown: Option<(Window, [f32; 2])>,
}

#[wasm_bindgen]
impl Finder {
    /// Of a card's decoder and the names of its classes, which may be none.
    #[wasm_bindgen(constructor)]
    pub fn new(decoder: &str, labels: Vec<String>) -> Result<Finder, JsValue> {
        let finder = detect::Finder::of(Some(decoder)).map_err(Error::Model)?;
        Ok(Self { finder: finder.expect("there is one"), labels, shown: None })
    }

    /// The name of the network's input.
    pub fn input_name(&self) -> String {
        self.finder.input().name.clone()
    }

    /// Names of a detection's points, if anybody named them.
    pub fn point_names(&self) -> Vec<String> {
        if let detect::Finder::Detector(detector) = &self.finder { detector.point_names().to_vec() } else { Vec::new() }
    }

    /// The input for an image of RGBA bytes, values and shape; of a network for landmarks for a box
    /// in it.
    pub fn input(&mut self, pixels: Uint8Array, width: u32, height: u32, corners: Option<Vec<f32>>) -> Result<Array, JsValue> {
        let picture = [height as usize, width as usize];
        let input = self.finder.input();
        let window = match (&self.finder, corners.as_deref()) {
            (detect::Finder::Detector(_), _) => input.fit.window(picture),
            (detect::Finder::Landmarker(landmarker), Some(&[x1, y1, x2, y2])) => {
                let size = input.fit.size().expect("a region has a size");
                landmarker.window([x1, y1, x2, y2], size)
            }
            _ => return Err(Error::Model("landmarks are of a box of four numbers".into()).into()),
        };
        let values = input.tensor(&Rgba::new(&pixels, width, height)?, picture, &window)?;
        let shape: Array = input.shape(window.size).iter().map(|&side| JsValue::from(side as u32)).collect();
        self.shown = Some((window, [width as f32, height as f32]));
        Ok(Array::of2(&Float32Array::from(&values[..]), &shape))
    }

    /// What the network's results say of the input that was made last: detections, best first, or
    /// points. `numbers` are the threshold, the overlap and the limit, NaN where the card says it.
    pub fn found(
        &self,
        names: Vec<String>,
        tensors: Vec<Float32Array>,
        shapes: Vec<JsValue>,
        numbers: &[f32],
        only: Option<Vec<String>>,
    ) -> Result<JsValue, JsValue> {
        let Some((window, picture)) = &self.shown else { return Err(Error::Model("no input was made yet".into()).into()) };
        let mut results: Vec<(String, AnyTensor)> = Vec::new();
        for ((name, tensor), shape) in names.into_iter().zip(&tensors).zip(shapes) {
            let shape: Vec<usize> = Array::from(&shape).iter().map(|side| side.as_f64().unwrap_or(0.0) as usize).collect();
            Tensor::check(&shape, tensor.length() as usize)?;
            let data = Values::F32(copied(&name, tensor.length(), |copy| tensor.copy_to(copy))?);
            results.push((name, Tensor { shape, data }));
        }
        let lengths = |wanted: &str| match results.iter().find(|(name, _)| name == wanted) {
            Some((_, tensor)) => Ok(tensor.shape.clone()),
            None => Err(format!("the card names the result `{wanted}`, the network has none of f32 of that name")),
        };
        match &self.finder {
            detect::Finder::Landmarker(landmarker) => {
                landmarker.check(&lengths).map_err(Error::Model)?;
                Ok(points(&landmarker.points(&results, window)))
            }
            detect::Finder::Detector(detector) => {
                detector.check(&lengths, window.size, self.labels.len()).map_err(Error::Model)?;
                let number = |at: usize| numbers.get(at).copied().filter(|number| !number.is_nan());
                let options =
                    DetectOptions { threshold: number(0), iou: number(1), limit: number(2).map(|limit| limit as usize), labels: only };
                let card = Card { labels: self.labels.clone().into(), ..Card::default() };
                let only = card.only(&options).map_err(Error::Model)?;
                let wanted = detector.wanted(&options, &only).map_err(Error::Model)?;
                let found = detector.detections(&results, None, window, *picture, &wanted, &|class| card.label(class));
                Ok(list(&found, detection))
            }
        }
    }
}

fn points(points: &[[f32; 2]]) -> JsValue {
    Float32Array::from(points.as_flattened()).into()
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
