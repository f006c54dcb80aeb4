//! The choice that `ghostnet tune` found for an adapter, its driver and a precision, kept on disk: see [`crate::cache`].

use super::{Device, Engine, EngineOptions};
use crate::{AdapterInfo, CacheDir, Error, Precision, Result, cache::CacheFile, device::Choice};
use std::{io, path::PathBuf};

/// What is stored, if it is good for this device and nothing else is asked for.
pub(super) fn read(device: &Device, options: &EngineOptions) -> Option<Choice> {
    let Device::Gpu(context) = device else { return None };
    if options.choice.is_some() {
        return None;
    }
    let file = file(context.info(), options.precision, &options.cache)?;
    let body = file.read()?;
    let choice = serde_json::from_slice(&body).map_err(|e| e.to_string()).and_then(|choice: Choice| {
        choice.check()?;
        if choice.class == context.class() { Ok(choice) } else { Err("is of another class of device".into()) }
    });
    choice.map_err(|what| log::info!("{}: not used: {what}", file.path().display())).ok()
}

/// One file for each adapter and precision. The driver and its version are in the key: a new driver's file replaces the old one's.
fn file(info: &AdapterInfo, precision: Precision, folder: &CacheDir) -> Option<CacheFile> {
    let AdapterInfo { name, backend, driver, .. } = info;
    let hash = crc32fast::hash(format!("{name}\n{backend}").as_bytes());
    let precision = precision.name();
    let key = format!("choice of ghostnet {} for {precision}\n{backend}\n{name}\n{driver}", env!("CARGO_PKG_VERSION"));
    Some(CacheFile::new(&folder.path()?, &format!("choice_{precision}_{hash:08x}"), key))
}

impl Engine {
    /// Where [`Engine::keep_choice`] puts a choice.
    ///
    /// Errors: [`Error::Unsupported`] on the CPU, which makes no choice, and where there is no folder for it.
    pub fn choice_file(&self) -> Result<PathBuf> {
        Ok(self.tuned_file()?.path().into())
    }

    /// Stores a choice for engines to come, on this adapter with this driver and in this engine's precision, in the folder of
    /// [`EngineOptions::cache`]; with `None` removes what is there. This engine goes on with its own. Whether anything changed.
    ///
    /// Errors: as [`Engine::choice_file`]; [`Error::Model`] for a choice that no kernel can be composed with; [`Error::Io`].
    pub fn keep_choice(&self, choice: Option<&Choice>) -> Result<bool> {
        let file = self.tuned_file()?;
        let io = |error: io::Error| Error::Io { file: file.path().into(), what: error.to_string() };
        let Some(choice) = choice else { return file.remove().map_err(io) };
        choice.check().map_err(Error::Model)?;
        file.try_write(&serde_json::to_vec(choice).map_err(|e| io(e.into()))?).map_err(io)?;
        Ok(true)
    }

    fn tuned_file(&self) -> Result<CacheFile> {
        let unsupported = |what: &str| Error::Unsupported { adapter: self.adapter().name.clone(), what: what.into() };
        let info = self.gpu().ok_or_else(|| unsupported("has no kernels to choose among; tuning is for GPUs"))?.info();
        file(info, self.precision(), &self.inner.options.cache)
            .ok_or_else(|| unsupported("its choice cannot be stored: there is no cache folder (GHOSTNET_CACHE_DIR names one)"))
    }
}
