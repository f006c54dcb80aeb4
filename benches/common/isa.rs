//! What a shader costs on an AMD RDNA2 GPU that is not there: registers and spills, by a program
//! such as `tools/isa-stats` and Mesa's compiler.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

/// Found where no other is named.
const TOOL: &str = "isa-stats";

/// Mesa's driver for AMD GPUs, where Linux systems have it.
const DRIVERS: [&str; 2] = ["/usr/share/vulkan/icd.d/radeon_icd.x86_64.json", "/etc/vulkan/icd.d/radeon_icd.x86_64.json"];

/// The compiler's numbers that are told.
const NUMBERS: [&str; 8] =
    ["VGPRs", "SGPRs", "Spilled VGPRs", "Spilled SGPRs", "Scratch size", "LDS size", "Subgroups per SIMD", "Instructions"];

/// These numbers, by their names.
pub struct Cost(Vec<(String, f64)>);

/// The cost of a shader; `None` where no program was named and there is none.
pub fn cost(wgsl: &str, tool: Option<&Path>) -> Result<Option<Cost>> {
    let Some(program) = tool.map(Into::into).or_else(on_path) else { return Ok(None) };
    let file = std::env::temp_dir().join(format!("ghostnet-bench-{}.wgsl", std::process::id()));
    std::fs::write(&file, wgsl).with_context(|| format!("writing {}", file.display()))?;
    let mut command = Command::new(&program);
    command.arg(&file).env("RADV_FORCE_FAMILY", "navi21").env("RADV_DEBUG", "nocache");
    if let Some(driver) = DRIVERS.iter().find(|driver| Path::new(driver).exists()) {
        command.env("VK_ICD_FILENAMES", driver).env("VK_DRIVER_FILES", driver);
    }
    let done = command.output().with_context(|| format!("running {}", program.display()));
    std::fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
    let done = done?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("{}: {}", program.display(), said.lines().last().unwrap_or("it failed"));
    }
    let numbers = String::from_utf8_lossy(&done.stdout).lines().filter_map(number).collect::<Vec<_>>();
    if numbers.is_empty() {
        bail!("{}: it prints no {}", program.display(), NUMBERS[0]);
    }
    Ok(Some(Cost(numbers)))
}

/// A line such as `  VGPRs                        64`.
fn number(line: &str) -> Option<(String, f64)> {
    let (name, value) = line.trim().rsplit_once("  ")?;
    NUMBERS.contains(&name.trim()).then_some((name.trim().into(), value.trim().parse().ok()?))
}

fn on_path() -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(TOOL)).find(|file| file.is_file())
}

impl Cost {
    /// All numbers by their names.
    pub fn json(&self) -> Value {
        self.0.iter().map(|(name, value)| (name.clone(), json!(value))).collect()
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(|(name, value)| format!("{name} {value}")).collect();
        write!(f, "on RDNA2: {}", numbers.join(", "))
    }
}
