//! What the tests share: one device per test binary, opened at WebGPU's default limits.
#![allow(dead_code)] // each test binary uses its own part

pub mod around;
pub mod net;
pub mod onnx;
pub mod own;

use ghostnet::{
    AnyTensor, Backend, CacheDir, Engine, EngineOptions, Model, Result, Tensor,
    gpu::{Context, Wanted},
};
use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

pub fn path(relative: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(relative)
}

fn options() -> EngineOptions {
    EngineOptions::default().backend(Backend::Gpu).adapter(std::env::var("GHOSTNET_ADAPTER").ok()).default_limits(true).cache(CacheDir::Off)
}

/// A GPU engine, and never the CPU in its place.
fn open(options: EngineOptions) -> Result<Engine> {
    let engine = Engine::new(options)?;
    assert_eq!(engine.backend(), "gpu");
    Ok(engine)
}

/// Every result of a network of one input, by name, as f32.
pub fn results(model: &Model, input: &Tensor) -> Result<Vec<(String, Tensor)>> {
    let name = model.network().graph().inputs().first().map_or("input", |input| &input.name);
    let results = model.run_named(&[(name, &AnyTensor::from(input.clone()))])?;
    Ok(results.into_iter().map(|(name, tensor)| (name, tensor.into_f32())).collect())
}

/// Without an adapter the tests fail, unless GHOSTNET_SKIP_GPU_TESTS is set and CI is not.
fn opened<T>(result: Result<T>) -> Option<T> {
    match result {
        Ok(opened) => Some(opened),
        Err(error) => {
            let skip = std::env::var_os("GHOSTNET_SKIP_GPU_TESTS").is_some() && std::env::var_os("CI").is_none();
            assert!(skip, "{error} (set GHOSTNET_SKIP_GPU_TESTS to leave the GPU tests out)");
            say("no adapter: GPU tests left out, as GHOSTNET_SKIP_GPU_TESTS asks");
            None
        }
    }
}

/// A line on stderr that the test runner does not hold back: the log of every run names its
/// adapter.
fn say(line: &str) {
    use std::io::Write as _;
    // A closed stderr is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The GPU engine of this test binary.
pub fn gpu() -> Option<&'static Engine> {
    static ENGINE: OnceLock<Option<Engine>> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| {
        let engine = opened(open(options()))?;
        say(&format!("adapter: {} ({})", engine.adapter().name, engine.adapter().driver));
        Some(engine)
    });
    engine.as_ref()
}

/// The device of a test binary that works below the engine.
pub fn context() -> Option<&'static Arc<Context>> {
    static CONTEXT: OnceLock<Option<Arc<Context>>> = OnceLock::new();
    CONTEXT.get_or_init(|| context_with(|_| ())).as_ref()
}

/// A device below the engine, with something else asked of it.
pub fn context_with(change: impl FnOnce(&mut Wanted<'_>)) -> Option<Arc<Context>> {
    let options = options();
    let mut wanted = Wanted { name: options.adapter.as_deref(), default_limits: true, ..Default::default() };
    change(&mut wanted);
    let context = opened(pollster::block_on(Context::new(&wanted)))?;
    say(&format!("adapter: {} ({})", context.info().name, context.info().driver));
    Some(Arc::new(context))
}

/// An engine on the same adapter with other options.
pub fn gpu_with(change: impl FnOnce(&mut EngineOptions)) -> Option<Engine> {
    gpu()?;
    let mut options = options();
    change(&mut options);
    Some(open(options).expect("the adapter opened before"))
}

pub fn cpu() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new(EngineOptions::default().backend(Backend::Cpu)).expect("the CPU is always there"))
}

/// Named tolerances, each relative to the largest magnitude of the expected values.
pub mod tolerance {
    /// One kernel on the same numbers: sums in another order, with and without fused multiply-adds.
    /// WGSL's `exp` is good to 3 + 2 |x| units in the last place.
    pub const KERNEL: f32 = 1e-5;
    /// Sums in another order, f32: the same network, fused or not.
    pub const REORDERED: f32 = 1e-5;
    /// Another implementation in f32, over a whole network.
    pub const NETWORK: f32 = 1e-4;
    /// As NETWORK, from a photograph: preprocessing may differ by 1/255 in a pixel.
    pub const PHOTOGRAPH: f32 = 1e-2;
    /// A value stored as a half, relative to itself: rounded to 11 bits, in whichever direction the
    /// driver rounds.
    pub const HALF: f32 = 1.0 / 1024.0;
    /// The smallest normal half, absolute: below it a driver may store zero.
    pub const SMALLEST_HALF: f32 = 1.0 / 16384.0;
    /// One kernel that multiplies halves: eight products of 11 bits are added up as halves, and
    /// intrinsic maps are kept as halves.
    pub const PRODUCTS: f32 = 2e-3;
    /// One kernel that stores intrinsic maps as halves before it makes ghosts of them: nine taps of
    /// what was rounded to 11 bits.
    pub const INTRINSICS: f32 = 1e-3;
    /// A whole network on halves.
    pub const HALVES: f32 = 2e-2;
}

/// Largest difference over the largest magnitude of `expected`.
pub fn relative_difference(actual: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(actual.len(), expected.len(), "lengths");
    let largest = expected.iter().fold(f32::MIN_POSITIVE, |m, v| m.max(v.abs()));
    let difference = actual.iter().zip(expected).fold(0.0f32, |m, (a, e)| if a.is_finite() { m.max((a - e).abs()) } else { f32::INFINITY });
    difference / largest
}
