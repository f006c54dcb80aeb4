//! Milliseconds since some moment, for start-up times.

#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn now() -> f64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed().as_secs_f64() * 1e3
}

#[cfg(target_arch = "wasm32")]
pub(crate) fn now() -> f64 {
    use wasm_bindgen::prelude::*;

    #[wasm_bindgen]
    extern "C" {
        // Pages and workers have it alike.
        #[wasm_bindgen(js_namespace = performance)]
        fn now() -> f64;
    }
    now()
}
