use crate::output::{bold, dim, print, print_json};
use anyhow::Result;
use serde_json::json;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print a JSON array: [{"name", "backend", "driver", "type", "features"}]
    #[arg(short, long)]
    json: bool,
}

impl Args {
    pub fn run(self) -> Result<()> {
        let adapters = ghostnet::adapters();
        if self.json {
            let list = adapters.iter().map(
                |a| json!({ "name": a.name, "backend": a.backend, "driver": a.driver, "type": a.device_type, "features": a.features }),
            );
            return print_json(&list.collect());
        }
        if adapters.iter().all(|adapter| adapter.backend == "cpu") {
            let remedy = match std::env::consts::OS {
                "linux" => "; install a Vulkan driver (mesa-vulkan-drivers has one for most GPUs, and one that needs no GPU)",
                "macos" => "; Metal is needed",
                _ => "; install the graphics card's driver",
            };
            print(&format!("no GPU adapter: networks run on the CPU{remedy}"))?;
        }
        for adapter in adapters {
            let features = if adapter.features.is_empty() { "no optional features".into() } else { adapter.features.join(", ") };
            let kind = match adapter.device_type.as_str() {
                "cpu" if adapter.backend == "cpu" => "taken where there is no GPU, or --backend cpu asks for it".to_string(),
                "cpu" => "runs shaders on the CPU; taken where --backend gpu or --adapter asks for it".to_string(),
                other => other.to_string(),
            };
            print(&format!("{}\n  {}, {kind}; {}\n  {}", bold(&adapter.name), adapter.backend, adapter.driver, dim(&features)))?;
        }
        Ok(())
    }
}
