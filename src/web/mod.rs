//! What the browser package calls. Its four modules of WebAssembly are builds of this library.
//! `gpu_engine` and `cpu_engine` are for networks (feature `web`), each without the other's device
//! (`without_cpu`, `without_gpu`). `bench_engine` is for the page of benches (`web_bench`), and
//! `detect_engine` reads detectors' cards and decodes their results (`web_detect`).
//! `web/src/*.js` is the interface that people see, and does whatever needs no Rust.
//!
//! Structured results cross as JavaScript objects, numbers as typed arrays. Errors are JavaScript
//! `Error`s with this library's messages. That of a lost device is named `GhostNetDeviceLost`.

#[cfg(feature = "web_bench")]
mod bench;
#[cfg(feature = "web_detect")]
mod detect;
#[cfg(all(feature = "web", not(feature = "without_gpu")))]
mod lent;
#[cfg(feature = "web")]
mod net;
#[cfg(any(feature = "web", feature = "web_detect"))]
mod pixels;

use crate::Error;
#[cfg(any(feature = "web", feature = "web_bench"))]
use crate::{Precision, Result};
use js_sys::{Array, Object, Reflect};
use wasm_bindgen::prelude::*;

impl From<Error> for JsValue {
    fn from(error: Error) -> Self {
        let js = js_sys::Error::new(&error.to_string());
        if let Error::DeviceLost(_) = error {
            js.set_name("GhostNetDeviceLost");
        }
        js.into()
    }
}

/// A precision by its name.
#[cfg(any(feature = "web", feature = "web_bench"))]
fn precision_named(name: &str) -> Result<Precision> {
    match name {
        "f32" => Ok(Precision::F32),
        "f16" => Ok(Precision::F16),
        other => Err(Error::Model(format!("precision `{other}` is neither f32 nor f16"))),
    }
}

fn object(fields: &[(&str, JsValue)]) -> Object {
    let object = Object::new();
    for (key, value) in fields {
        Reflect::set(&object, &JsValue::from(*key), value).expect("an object of ours takes any key");
    }
    object
}

fn list<T>(items: &[T], item: impl Fn(&T) -> JsValue) -> JsValue {
    items.iter().map(item).collect::<Array>().into()
}
