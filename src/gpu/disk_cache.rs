//! Vulkan's pipeline cache on disk: a driver that finds a pipeline there need not compile it.
//!
//! Drivers check little of what they are given, so the file is checked first: see [`crate::cache`].
//! A thread of its own writes it after the first run that follows a compilation, and at the end.
//! The first result does not wait for it.

use crate::cache::{CacheDir, CacheFile};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

/// The cache of one device.
#[derive(Debug)]
pub(super) struct DiskCache {
    stored: Arc<Stored>,
    /// Pipelines were compiled since the file was last written.
    changed: AtomicBool,
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Stored {
    cache: wgpu::PipelineCache,
    file: CacheFile,
    /// Bytes in the file: the cache of a driver that compiled nothing new keeps its size.
    bytes: AtomicUsize,
}

/// A cache of this size holds no pipeline: wgpu's header takes 64 bytes, Vulkan's 32, a count or a
/// checksum what remains.
const EMPTY_BYTES: usize = 128;

impl DiskCache {
    /// `None` if the device offers no such cache, or there is no folder for it.
    pub(super) async fn open(device: &wgpu::Device, folder: &CacheDir) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let file = file(&device.adapter_info(), folder)?;
        let data = file.read();
        // What wgpu or the driver refuse is not fatal, and counts as nothing.
        let cache = match create(device, data.as_deref()).await {
            Err(error) if data.is_some() => {
                log::info!("pipelines from disk are not used: {error}");
                create(device, None).await
            }
            cache => cache,
        };
        let cache = cache.map_err(|error| log::info!("no pipeline cache: {error}")).ok()?;
        let bytes = data.map_or(0, |data| data.len());
        log::debug!("{bytes} bytes of pipelines from disk");
        let stored = Arc::new(Stored { cache, file, bytes: bytes.into() });
        Some(Self { stored, changed: false.into(), writer: Mutex::default() })
    }

    /// For pipelines to come.
    pub(super) fn cache(&self) -> &wgpu::PipelineCache {
        &self.stored.cache
    }

    /// Pipelines were compiled, or found in the cache.
    pub(super) fn changed(&self) {
        self.changed.store(true, Ordering::Release);
    }

    /// Writes what was compiled, if anything was; does not wait for it.
    pub(super) fn keep(&self) {
        if !self.changed.swap(false, Ordering::AcqRel) {
            return;
        }
        let stored = self.stored.clone();
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        wait(writer.take());
        match thread::Builder::new().name("ghostnet cache".into()).spawn(move || stored.write()) {
            Ok(thread) => *writer = Some(thread),
            Err(error) => log::info!("pipelines are not kept on disk: {error}"),
        }
    }
}

impl Drop for DiskCache {
    fn drop(&mut self) {
        wait(self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        if *self.changed.get_mut() {
            self.stored.write();
        }
    }
}

fn wait(writer: Option<JoinHandle<()>>) {
    if writer.is_some_and(|thread| thread.join().is_err()) {
        log::info!("writing pipelines to disk failed");
    }
}

impl Stored {
    fn write(&self) {
        // A lost device has no data.
        let Some(data) = self.cache.get_data() else { return };
        if data.len() <= EMPTY_BYTES {
            log::debug!("this driver puts no pipelines into Vulkan's cache");
        } else if data.len() != self.bytes.load(Ordering::Acquire) && self.file.write(&data) {
            self.bytes.store(data.len(), Ordering::Release);
        }
    }
}

/// One file for each adapter and driver. Their versions are in the key, not in the name, so that a
/// new driver's file replaces the old one's.
fn file(info: &wgpu::AdapterInfo, folder: &CacheDir) -> Option<CacheFile> {
    let wgpu::AdapterInfo { name, driver, driver_info, .. } = info;
    let adapter = wgpu::util::pipeline_cache_key(info)?;
    let key = format!("pipelines of ghostnet {}\n{adapter}\n{name}\n{driver}\n{driver_info}", env!("CARGO_PKG_VERSION"));
    CacheFile::of(folder, &adapter, &format!("{name}\n{driver}"), key)
}

async fn create(device: &wgpu::Device, data: Option<&[u8]>) -> Result<wgpu::PipelineCache, wgpu::Error> {
    // Nothing is awaited while the scopes are open, since they are of one thread.
    let (cache, errors) = {
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let descriptor = wgpu::PipelineCacheDescriptor { label: Some("ghostnet"), data, fallback: true };
        // SAFETY: `data` is what `get_data` gave for this adapter, driver and version of this
        // crate. `CacheFile` has compared them, the length and a checksum, and reads no file that
        // another user could have written.
        #[allow(unsafe_code)]
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        (cache, (validation.pop(), memory.pop(), internal.pop()))
    };
    let (validation, memory, internal) = errors;
    let error = internal.await.or(memory.await).or(validation.await);
    error.map_or(Ok(cache), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Backend, Engine, EngineOptions, Network, Tensor,
        gpu::{Context, Wanted},
    };
    use std::{fs, path::Path};

    /// A device that offers the cache; without one there is nothing to test.
    fn device() -> Option<wgpu::Device> {
        let context = Context::for_tests(&Wanted { default_limits: true, ..Default::default() })?;
        Some(context.device.clone()).filter(|device| device.features().contains(wgpu::Features::PIPELINE_CACHE))
    }

    fn open(device: &wgpu::Device, folder: &Path) -> DiskCache {
        pollster::block_on(DiskCache::open(device, &CacheDir::At(folder.into()))).expect("the device offers the cache")
    }

    fn bytes_from_disk(cache: &DiskCache) -> usize {
        cache.stored.bytes.load(Ordering::Acquire)
    }

    #[test]
    fn what_one_device_wrote_the_next_reads() {
        let (Some(device), folder) = (device(), tempfile::tempdir().unwrap()) else { return };
        let first = open(&device, folder.path());
        assert_eq!(bytes_from_disk(&first), 0);
        let data = first.cache().get_data().expect("the device is not lost");
        // Drivers on the CPU put only a header into it, which `keep` would not write.
        assert!(first.stored.file.write(&data));
        let second = open(&device, folder.path());
        assert_eq!(bytes_from_disk(&second), data.len());
    }

    #[test]
    fn what_wgpu_refuses_is_not_used() {
        let (Some(device), folder) = (device(), tempfile::tempdir().unwrap()) else { return };
        let first = open(&device, folder.path());
        let data = first.cache().get_data().expect("the device is not lost");
        // Well sealed, but of another device, and no cache at all. wgpu's header: magic 8, version
        // 4, ABI 4, backend 1, then the adapter.
        let mut foreign = data.clone();
        foreign[20] ^= 1;
        for bad in [foreign, b"no pipeline cache".to_vec(), data[..data.len() - 1].to_vec()] {
            assert!(first.stored.file.write(&bad));
            // The cache works, and the device has no error that nobody caught.
            assert!(open(&device, folder.path()).cache().get_data().is_some());
        }
    }

    #[test]
    fn a_second_engine_answers_as_the_first() {
        let (Some(_), folder) = (device(), tempfile::tempdir().unwrap()) else { return };
        let options = EngineOptions {
            backend: Backend::Gpu,
            adapter: std::env::var("GHOSTNET_ADAPTER").ok(),
            cache: CacheDir::At(folder.path().into()),
            ..Default::default()
        };
        let input = Tensor::new(&[1, 3, 32, 32], (0..3 * 32 * 32).map(|at| (at % 17) as f32 / 8.0 - 1.0).collect()).unwrap();
        let run = || {
            let engine = Engine::new(options.clone()).unwrap();
            let logits = engine.load(Network::embedded().unwrap()).unwrap().run(&input).unwrap();
            (logits, engine)
        };
        let disk = |engine: &Engine| engine.gpu().unwrap().pipelines.disk.as_ref().unwrap().stored.clone();
        let (first, engine) = run();
        wait(engine.gpu().unwrap().pipelines.disk.as_ref().unwrap().writer.lock().unwrap().take());
        let stored = disk(&engine);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), usize::from(stored.bytes.load(Ordering::Acquire) > 0));
        assert!(stored.file.write(&stored.cache.get_data().unwrap()));
        drop(engine);
        let (second, engine) = run();
        assert_eq!(first, second);
        assert!(disk(&engine).bytes.load(Ordering::Acquire) > 0);
        drop(engine);
        // Damaged, it is as if it were not there.
        let path = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(first, run().0);
    }

    #[test]
    fn nothing_is_written_where_the_driver_keeps_nothing() {
        let (Some(device), folder) = (device(), tempfile::tempdir().unwrap()) else { return };
        let cache = open(&device, &folder.path().join("new"));
        cache.changed();
        cache.keep();
        drop(cache);
        assert!(!folder.path().join("new").exists());
    }

    #[test]
    fn no_folder_no_cache() {
        let Some(device) = device() else { return };
        assert!(pollster::block_on(DiskCache::open(&device, &CacheDir::Off)).is_none());
    }

    #[test]
    fn versions_and_adapters_have_their_own_keys() {
        let Some(device) = device() else { return };
        let folder = tempfile::tempdir().unwrap();
        let at = CacheDir::At(folder.path().into());
        let info = device.adapter_info();
        let mine = file(&info, &at).unwrap();
        assert!(mine.write(b"mine"));
        let newer = wgpu::AdapterInfo { driver_info: format!("{}.1", info.driver_info), ..info.clone() };
        let other = wgpu::AdapterInfo { device: info.device + 1, ..info.clone() };
        assert_eq!((file(&newer, &at).unwrap().read(), file(&other, &at).unwrap().read()), (None, None));
        // A new driver's file replaces the old one's; another adapter's lies beside it.
        assert!(file(&newer, &at).unwrap().write(b"newer") && file(&other, &at).unwrap().write(b"other"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
