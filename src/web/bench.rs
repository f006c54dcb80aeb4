//! The benches of the kernels.

use super::{list, object, precision_named};
use crate::{
    Backend, Engine, EngineOptions, Error, Precision, Result,
    device::{Choice, DeviceClass},
    gpu::{Prepared, Weights},
    kernels::{CASES, case::Cases},
    measure::{kernel, kernels},
};
use js_sys::{Function, Object, Reflect};
use serde_json::Value;
use std::sync::Arc;
use wasm_bindgen::prelude::*;

/// `cargo bench --bench kernels` for the network `name`: what its JSON says. `progress` is called
/// with how many of how many parts are done and what comes next. What it throws ends the
/// measurement.
#[wasm_bindgen]
pub async fn bench_kernels(name: String, quick: bool, progress: Function) -> Result<JsValue, JsValue> {
    let engine = Engine::new_async(EngineOptions { backend: Backend::Gpu, ..Default::default() }).await?;
    let mut thrown = JsValue::UNDEFINED;
    let go_on = |done: usize, total: usize, what: &str| {
        let called = progress.call3(&JsValue::UNDEFINED, &done.into(), &total.into(), &what.into());
        called.map_err(|error| thrown = error).is_ok()
    };
    let found = kernels::measure(&engine, &name, quick, go_on).await;
    let found = found.map(|found| found.map(|found| js(&found.json(&engine, quick))));
    engine.lose_device();
    found?.ok_or(thrown)
}

/// The kernels that `bench_kernel` measures: their names, what a case of each has to say, and one.
#[wasm_bindgen]
pub fn kernels_alone() -> JsValue {
    list(CASES, |cases| {
        let example = cases.cases.first().copied().unwrap_or_default();
        object(&[("name", cases.kernel.name().into()), ("usage", cases.usage().into()), ("example", example.into())]).into()
    })
}

/// `cargo bench --bench kernels -- KERNEL CASE`: what its JSON says.
#[wasm_bindgen]
pub async fn bench_kernel(kernel: String, case: String, precision: String, quick: bool) -> Result<JsValue, JsValue> {
    let precision = precision_named(&precision)?;
    let cases = cases_of(&kernel)?;
    let engine = Engine::new_async(EngineOptions { backend: Backend::Gpu, precision, ..Default::default() }).await?;
    let found = async {
        let case = cases.case(&case, &kernel::options(&engine))?;
        let found = kernel::measure(&engine, &case, quick).await?;
        // As the command names it.
        let name = if precision == Precision::F16 { case.name + " --f16" } else { case.name };
        Ok::<_, Error>(js(&found.document(&engine, name, quick)))
    };
    let found = found.await;
    engine.lose_device();
    Ok(found?)
}

/// Makes ready every case of a kernel as a GPU has it, whatever the device is, and runs none: how
/// many. The browser checks each shader, its pipeline and its bindings. This is for tests.
#[wasm_bindgen]
pub async fn prepare_kernel(kernel: String, precision: String) -> Result<usize, JsValue> {
    let precision = precision_named(&precision)?;
    let cases = cases_of(&kernel)?;
    let choice = Some(Choice::new(DeviceClass::Gpu));
    let engine = Engine::new_async(EngineOptions { backend: Backend::Gpu, precision, choice, ..Default::default() }).await?;
    let prepared = async {
        for case in cases.cases {
            let plan = cases.case(case, &kernel::options(&engine))?.plan;
            Prepared::new(engine.gpu().expect("a GPU was asked for"), Arc::new(plan), &Weights::default()).await?;
        }
        Ok::<_, Error>(cases.cases.len())
    };
    let prepared = prepared.await;
    engine.lose_device();
    Ok(prepared?)
}

fn cases_of(kernel: &str) -> Result<&'static Cases> {
    CASES.iter().find(|cases| cases.kernel.name() == kernel).ok_or_else(|| {
        let names: Vec<&str> = CASES.iter().map(|cases| cases.kernel.name()).collect();
        Error::Model(format!("no kernel is called `{kernel}`: there are {}", names.join(", ")))
    })
}

/// What JSON would say, without its text.
fn js(value: &Value) -> JsValue {
    match value {
        Value::Null => JsValue::NULL,
        Value::Bool(value) => (*value).into(),
        Value::Number(value) => value.as_f64().into(),
        Value::String(text) => text.into(),
        Value::Array(items) => list(items, js),
        Value::Object(fields) => {
            let object = Object::new();
            for (key, value) in fields {
                Reflect::set(&object, &key.into(), &js(value)).expect("an object of ours takes any key");
            }
            object.into()
        }
    }
}
