//! What the command, the benches and the browser's benches measure on a device. Not part of the
//! library's interface.

pub mod kernel;
pub mod kernels;
mod timed;

pub use timed::{Timed, alternate, clock_of, repeated, roof, spread};

use crate::AdapterInfo;
use serde_json::{Value, json};

/// What a bench found, as JSON: `more` beside its description, and `rows`, each with a name,
/// milliseconds and an object with the rest.
pub fn document(bench: &str, info: &AdapterInfo, method: &str, quick: bool, more: Value, rows: Vec<(String, f64, Value)>) -> Value {
    let mut object = json!({
        "bench": bench, "version": env!("CARGO_PKG_VERSION"), "backend": info.backend, "adapter": info.name, "driver": info.driver,
        "method": method, "quick": quick,
    });
    let rows: Value = rows.into_iter().map(|(name, ms, rest)| extend(json!({ "name": name, "ms": ms }), rest)).collect();
    object = extend(object, more);
    object["rows"] = rows;
    object
}

fn extend(mut object: Value, more: Value) -> Value {
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
    object
}

/// Billions per second.
fn rate(count: f64, ms: f64) -> f64 {
    if ms > 0.0 { count / ms / 1e6 } else { 0.0 }
}

/// Of multiply-adds, each of which counts as two operations, in milliseconds.
pub fn gflops(macs: u64, ms: f64) -> f64 {
    rate(2.0 * macs as f64, ms)
}

/// Of bytes, in milliseconds.
pub fn gb_per_s(bytes: u64, ms: f64) -> f64 {
    rate(bytes as f64, ms)
}
