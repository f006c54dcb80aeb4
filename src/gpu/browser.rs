//! A browser's adapter, of which wgpu tells little.

use crate::text::cut;

/// What a browser tells of an adapter; what it keeps to itself is empty.
#[derive(Default)]
struct Told {
    vendor: String,
    architecture: String,
    device: String,
    description: String,
    is_fallback: bool,
}

impl Told {
    /// Its description, or its vendor and architecture.
    fn name(&self) -> String {
        if !self.description.is_empty() {
            return self.description.clone();
        }
        let parts = [&self.vendor, &self.architecture, &self.device];
        let parts: Vec<&str> = parts.into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        if parts.is_empty() { "a GPU that the browser does not name".into() } else { parts.join(" ") }
    }

    /// Whether it runs shaders on the CPU. One of which nothing is told is taken for a GPU.
    ///
    /// Architectures are named as by Dawn's `gpu_info.json`, where Google's is `swiftshader`,
    /// Microsoft's `warp` and Mesa's `software`; descriptions as drivers name themselves.
    fn is_software(&self) -> bool {
        let drivers = ["swiftshader", "llvmpipe", "lavapipe", "microsoft basic render"];
        let texts = [&self.architecture, &self.device, &self.description].map(|text| text.to_ascii_lowercase());
        let named = texts.iter().any(|text| drivers.iter().any(|driver| cut(text, driver).is_some()));
        self.is_fallback || named || ["warp", "software"].contains(&&*texts[0])
    }
}

#[cfg(target_arch = "wasm32")]
pub(super) use page::enumerate;

#[cfg(target_arch = "wasm32")]
mod page {
    use super::{super::info::AdapterInfo, Told};
    use wasm_bindgen::prelude::*;

    /// A browser names one adapter at most.
    pub(in crate::gpu) async fn enumerate(instance: &wgpu::Instance) -> Vec<(wgpu::Adapter, AdapterInfo)> {
        let options = wgpu::RequestAdapterOptions { power_preference: wgpu::PowerPreference::HighPerformance, ..Default::default() };
        let Ok(adapter) = instance.request_adapter(&options).await else { return Vec::new() };
        let mut info = AdapterInfo::new(&adapter);
        let told = adapter_told().await.unwrap_or_default();
        info.name = told.name();
        if told.is_software() {
            info.device_type = "cpu".into();
        }
        vec![(adapter, info)]
    }

    #[wasm_bindgen]
    extern "C" {
        #[wasm_bindgen(catch, js_namespace = ["navigator", "gpu"], js_name = requestAdapter)]
        async fn request_adapter(options: &JsValue) -> Result<JsValue, JsValue>;
    }

    async fn adapter_told() -> Option<Told> {
        let options = js_sys::Object::new();
        js_sys::Reflect::set(&options, &"powerPreference".into(), &"high-performance".into()).ok()?;
        let adapter = request_adapter(&options).await.ok()?;
        let info = js_sys::Reflect::get(&adapter, &"info".into()).ok()?;
        let text = |key: &str| js_sys::Reflect::get(&info, &key.into()).ok().and_then(|text| text.as_string()).unwrap_or_default();
        // The adapter's own in browsers before 2025.
        let is_fallback = |of: &JsValue| js_sys::Reflect::get(of, &"isFallbackAdapter".into()).is_ok_and(|flag| flag.is_truthy());
        Some(Told {
            vendor: text("vendor"),
            architecture: text("architecture"),
            device: text("device"),
            description: text("description"),
            is_fallback: is_fallback(&info) || is_fallback(&adapter),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_tells_of_an_adapter() {
        let told = |[vendor, architecture, device, description]: [&str; 4], is_fallback| Told {
            vendor: vendor.into(),
            architecture: architecture.into(),
            device: device.into(),
            description: description.into(),
            is_fallback,
        };
        for (texts, name) in [
            (["google", "swiftshader", "", ""], "google swiftshader"),
            (["google", "swiftshader", "0xc0de", "SwiftShader Device (Subzero)"], "SwiftShader Device (Subzero)"),
            (["microsoft", "warp", "", ""], "microsoft warp"),
            (["", "", "", "Microsoft Basic Render Driver"], "Microsoft Basic Render Driver"),
            (["mesa", "software", "", ""], "mesa software"),
            (["", "", "", "llvmpipe (LLVM 15.0.6, 256 bits)"], "llvmpipe (LLVM 15.0.6, 256 bits)"),
        ] {
            let told = told(texts, false);
            assert!(told.is_software() && told.name() == name, "{texts:?}: {}", told.name());
        }
        for (texts, name) in [
            (["", "", "", ""], "a GPU that the browser does not name"),
            (["intel", "gen-12lp", "", ""], "intel gen-12lp"),
            (["mesa", "", "", ""], "mesa"),
            (["microsoft", "", "", ""], "microsoft"),
            (["nvidia", "ampere", "", "NVIDIA Warp 9 Software Edition"], "NVIDIA Warp 9 Software Edition"),
        ] {
            let gpu = told(texts, false);
            assert!(!gpu.is_software() && gpu.name() == name, "{texts:?}: {}", gpu.name());
            assert!(told(texts, true).is_software(), "{texts:?}: as the browser says");
        }
    }
}
