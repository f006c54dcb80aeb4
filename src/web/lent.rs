//! Plans that a page works around on the device itself: `web/src/on_device.js`.

use super::net::{Net, shape_of};
use crate::{plan::Placed, shader};
use js_sys::{Array, Uint32Array};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
impl Net {
    /// The plan for a picture of this shape as the network's only input: the device, whether it
    /// stores halves, the input's buffer, and each result of floats by its name, its shape, where
    /// each of its channels begins, in values, and its buffer. Nothing where it takes the picture
    /// otherwise than `shaders/sample.wgsl` writes it.
    pub async fn lend(&self, shape: Vec<usize>) -> Result<Array, JsValue> {
        let model = self.model().await?;
        let Some(lent) = self.checked(model.lend(&shape).await)? else { return Ok(Array::new()) };
        let result = |(placed, buffer): (Placed, JsValue)| {
            Array::of4(&placed.name.into(), &shape_of(&placed.shape), &Uint32Array::from(&placed.starts[..]), &buffer)
        };
        let results: Array = lent.results().map(result).collect();
        let all = Array::of4(&lent.device(), &lent.is_f16().into(), &lent.input(), &results);
        self.lent.replace(Some(lent));
        Ok(all)
    }

    /// Submits the steps of the plan that was lent last, whose input is in its buffer.
    pub fn submit(&self) {
        if let Some(lent) = &*self.lent.borrow() {
            lent.submit();
        }
    }

    /// A shader of a template of this library, which another module has, and the values of its
    /// names.
    pub fn compose(&self, template: &str, names: Vec<String>, values: &[i32]) -> String {
        let defines: Vec<(&str, i64)> = names.iter().map(|name| &name[..]).zip(values.iter().map(|&value| value.into())).collect();
        shader::compose(template, &defines).expect("tests compose all of them")
    }
}
