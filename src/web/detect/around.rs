//! What a page tells a GPU that runs a network with a card: how to sample a picture in front of it,
//! and how to find candidates behind it. `web/src/on_device.js` calls this.
//!
//! A result is `[name, shape, starts, …]` here, as `Net::lend` of the other module tells it. Starts
//! are where each channel begins, in values.

use super::{Finder, Seen, detections, lengths, points};
use crate::{
    AnyTensor, Error, Precision, Result, Tensor, Values,
    detect::{self, Detector},
    kernels::{decode, sample::Held},
    plan::{Dispatch, Placed, grid, padded},
};
use js_sys::{Array, Uint8Array, Uint32Array};
use wasm_bindgen::prelude::*;

/// Where parameters of a dispatch may begin in a buffer.
const ALIGNMENT: u64 = 256;

#[wasm_bindgen]
impl Finder {
    /// How the picture that was looked at last is sampled, which lies on the device as a whole: the
    /// shader's template and constants, its grid, its parameters, 256 bytes for each window, and
    /// its table.
    pub fn sampling(&self, f16: bool, external: bool) -> Result<Array, JsValue> {
        let Seen { picture, windows } = self.seen()?;
        let input = self.finder.input();
        precision(f16).check(&input.name, input.extremes().as_flattened())?;
        let sample = input.problem(*picture, windows).of_whole();
        let held = if external { Held::External } else { Held::Texture };
        let dispatches: Vec<Dispatch> = (0..windows.len()).map(|window| sample.dispatch(window, f16, held)).collect();
        let table = bytes(bytemuck::cast_slice(&sample.taps));
        Ok(Array::of4(&shader(&dispatches[0]), &grid_of(&dispatches[0]), &bytes(&padded(dispatches.iter(), ALIGNMENT)), &table))
    }

    /// How candidates are found in results: the words of a record, how many of them there is room
    /// for, the table and the priors; then, for each dispatch, its shader, grid, parameters, and
    /// the results that it binds, each by its variable's name and its place.
    pub fn decoding(&self, results: &Array, f16: bool) -> Result<Array, JsValue> {
        let detector = self.detector()?;
        let results: Vec<Placed> = results.iter().map(placed).collect();
        self.check(&|wanted| results.iter().find(|result| result.name == wanted).map(|result| result.shape.clone()))?;
        let problem = detector.problem(&results, self.seen()?.windows[0].size);
        let (launches, table) = problem.launches(&results, f16);
        let head: [JsValue; 4] = [
            (problem.record() as u32).into(),
            (problem.capacity() as u32).into(),
            bytes(bytemuck::cast_slice(&table)),
            bytes(bytemuck::cast_slice(&problem.priors)),
        ];
        let launch = |decode::Launch { dispatch, bound }: &decode::Launch| {
            let bound: Array = bound.iter().map(|&(name, result)| Array::of2(&name.into(), &(result as u32).into())).collect();
            JsValue::from(Array::of4(&shader(dispatch), &grid_of(dispatch), &bytes(&padded(std::iter::once(dispatch), ALIGNMENT)), &bound))
        };
        Ok(head.into_iter().chain(launches.iter().map(launch)).collect())
    }

    /// The threshold of candidates. `numbers` and `only` are as of `found`.
    pub fn threshold(&self, numbers: &[f32], only: Option<Vec<String>>) -> Result<f32, JsValue> {
        let (_, asked) = self.asked(numbers, only)?;
        Ok(asked.of(self.detector()?)?.threshold)
    }

    /// The detections of the device's records, best first. `numbers` and `only` are as of `found`.
    pub fn found_of_records(&self, records: &[u32], numbers: &[f32], only: Option<Vec<String>>) -> Result<JsValue, JsValue> {
        let detector = self.detector()?;
        let Seen { picture: [h, w], windows } = self.seen()?;
        let picture = [*w as f32, *h as f32];
        let (card, asked) = self.asked(numbers, only)?;
        let wanted = asked.of(detector)?;
        Ok(detections(detector.detections_of_records(records, &windows[0], picture, &wanted, &|class| card.label(class))))
    }

    /// The results that a card for landmarks reads.
    pub fn reads(&self) -> Vec<String> {
        if let detect::Finder::Landmarker(landmarker) = &self.finder {
            landmarker.outputs().into_iter().map(String::from).collect()
        } else {
            Vec::new()
        }
    }

    /// The points in a window, by its number, of the bytes of each of the results in their buffers.
    pub fn points_of_bytes(&self, window: usize, results: &Array, bytes: Vec<Uint8Array>, f16: bool) -> Result<JsValue, JsValue> {
        let detect::Finder::Landmarker(landmarker) = &self.finder else {
            return Err(Error::Model("the card is not for landmarks".into()).into());
        };
        let unpacked = |(result, bytes): (JsValue, Uint8Array)| -> (String, AnyTensor) {
            let result = placed(result);
            let data = Values::F32(result.unpack(&precision(f16).from_bytes(&bytes.to_vec())));
            (result.name, Tensor { shape: result.shape, data })
        };
        let results: Vec<(String, AnyTensor)> = results.iter().zip(bytes).map(unpacked).collect();
        self.check(&|wanted| results.iter().find(|(name, _)| name == wanted).map(|(_, tensor)| tensor.shape.clone()))?;
        Ok(points(&landmarker.points(&results, &self.seen()?.windows[window])))
    }
}

impl Finder {
    fn detector(&self) -> Result<&Detector> {
        match &self.finder {
            detect::Finder::Detector(detector) => Ok(detector),
            detect::Finder::Landmarker(_) => Err(Error::Model("the card is no detector's".into())),
        }
    }
}

fn precision(f16: bool) -> Precision {
    if f16 { Precision::F16 } else { Precision::F32 }
}

fn placed(result: JsValue) -> Placed {
    let result = Array::from(&result);
    Placed {
        name: result.get(0).as_string().unwrap_or_default(),
        shape: lengths(&result.get(1)),
        starts: Uint32Array::from(result.get(2)).to_vec(),
    }
}

/// Template, names and values of a shader, which the network's module composes.
fn shader(Dispatch { key, .. }: &Dispatch) -> JsValue {
    let names: Array = key.defines.iter().map(|&(name, _)| JsValue::from(name)).collect();
    let values: Array = key.defines.iter().map(|&(_, value)| JsValue::from(value as i32)).collect();
    Array::of3(&key.kernel.spec().template.into(), &names, &values).into()
}

fn grid_of(dispatch: &Dispatch) -> JsValue {
    Uint32Array::from(&grid(dispatch.workgroups)[..]).into()
}

fn bytes(bytes: &[u8]) -> JsValue {
    Uint8Array::from(bytes).into()
}
