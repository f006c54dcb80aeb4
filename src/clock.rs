//! Milliseconds since some moment, for start-up times.

#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn now() -> f64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed().as_secs_f64() * 1e3
}

// The browser's clock comes with the browser package.
#[cfg(target_arch = "wasm32")]
pub(crate) fn now() -> f64 {
    0.0
}
