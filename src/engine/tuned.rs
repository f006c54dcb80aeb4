//! The choice that `ghostnet tune` found for an adapter, its driver and a precision, kept on disk:
//! see [`crate::cache`].

use super::options::EngineOptions;
use crate::{
    cache::{CacheDir, CacheFile},
    device::Choice,
    gpu::{AdapterInfo, Context},
    plan::Precision,
};

/// What is stored, if it is good for this device and nothing else is asked for.
pub(super) fn read(context: &Context, options: &EngineOptions) -> Option<Choice> {
    if options.choice.is_some() {
        return None;
    }
    let file = file(context.info(), options.precision, &options.cache)?;
    let body = file.read()?;
    let choice = serde_json::from_slice(&body).map_err(|e| e.to_string()).and_then(|choice: Choice| {
        choice.check()?;
        if choice.class == context.class() { Ok(choice) } else { Err("is of another class of device".into()) }
    });
    choice.map_err(|what| log::info!("{}: not used: {what}", file.shown())).ok()
}

/// One file for each adapter and precision. The driver and its version are in the key, so that a
/// new driver's file replaces the old one's.
pub(super) fn file(info: &AdapterInfo, precision: Precision, folder: &CacheDir) -> Option<CacheFile> {
    let AdapterInfo { name, backend, driver, .. } = info;
    let precision = precision.name();
    let key = format!("choice of ghostnet {} for {precision}\n{backend}\n{name}\n{driver}", env!("CARGO_PKG_VERSION"));
    CacheFile::of(folder, &format!("choice_{precision}"), &format!("{name}\n{backend}"), key)
}
