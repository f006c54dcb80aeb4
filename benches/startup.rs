//! From nothing to the first logits: the first start on a machine, the second, and which cache
//! makes the second quicker. Each is in a fresh process: the command `ghostnet bench`, whose
//! start-up times are read. `cargo bench --bench startup`.

mod common;

use anyhow::{Context as _, Result, bail};
use common::{Args, Findings, Row};
use ghostnet::{measure::spread, median};
use ghostnet_cli::report::text::{Align, number};
use serde_json::{Value, json};
use std::{fs, path::Path, process::Command};

const MODEL: &str = "ghostnet_100";
const PARTS: [&str; 5] = ["device", "weights", "pipelines", "first_run", "total"];

/// What is started in each round, in this order: name, whether with Vulkan's pipeline cache
/// (`GHOSTNET_CACHE_DIR`), and with the driver's own. The first finds empty folders, the others
/// what it left there.
const KINDS: [(&str, bool, bool); 5] = [
    ("first start", true, true),
    ("second start", true, true),
    ("second, driver's cache only", false, true),
    ("second, Vulkan's cache only", true, false),
    ("no cache", false, false),
];

/// Rounds.
const FULL: usize = 7;
const QUICK: usize = 2;

fn main() -> Result<()> {
    let Some(args) = Args::parse_for("startup")? else { return Ok(()) };
    let engine = args.engine()?;
    let info = engine.adapter();
    let rounds = args.pick(FULL, QUICK);
    // Folders of this bench's own: what else ran on this machine does not matter.
    let folder = args.file("startup_cache")?;
    let [ours, drivers] = ["ghostnet", "driver"].map(|name| folder.join(name));
    // Files into memory.
    start(&args, None, None)?;
    let mut times: Vec<Vec<[f64; 5]>> = vec![Vec::new(); KINDS.len()];
    let mut bytes = [0; 2];
    for _ in 0..rounds {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&drivers)?;
        for ((_, with_ours, with_drivers), times) in KINDS.iter().zip(&mut times) {
            times.push(start(&args, with_ours.then_some(&*ours), with_drivers.then_some(&*drivers))?);
            bytes = [size(&ours), size(&drivers)];
        }
    }
    let _ = fs::remove_dir_all(&folder);
    let rows: Vec<Row> = KINDS.iter().zip(&times).map(|((name, ..), times)| row(name, times)).collect();
    let ratio = rows[1].ms / rows[0].ms;
    let mut notes = vec![
        format!("the second start takes {ratio:.2} of the first"),
        format!("kept on disk: {} bytes in Vulkan's pipeline cache, {} in the driver's own", bytes[0], bytes[1]),
    ];
    if bytes == [0; 2] {
        notes
            .push("this driver puts nothing into Vulkan's cache; if it has one of its own, it is not known how to move or empty it".into());
    }
    use Align::{Left, Right};
    let findings = Findings {
        name: "startup",
        method: format!(
            "{MODEL}, random weights, batch 1: opening the device, making and packing weights, compiling pipelines, and the first run, in a \
             fresh process each time; wall clock; warm-up: one process; then {rounds} rounds of one process a row, from empty folders; medians"
        ),
        info,
        head: &[
            ("", Left),
            ("device ms", Right),
            ("weights ms", Right),
            ("pipelines ms", Right),
            ("first run ms", Right),
            ("total ms", Right),
            ("total p10..p90", Right),
        ],
        rows,
        more: json!({ "rounds": rounds, "second_to_first": ratio, "pipeline_cache_bytes": bytes[0], "driver_cache_bytes": bytes[1] }),
        notes,
    };
    findings.finish(&args)
}

/// Bytes of all files below a folder.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.metadata().map_or(0, |m| if m.is_dir() { size(&entry.path()) } else { m.len() })).sum()
}

/// One process: milliseconds of each of [`PARTS`]. `ours` is the folder of Vulkan's pipeline cache,
/// `drivers` that of the driver's own cache. Without a folder the cache is off. Mesa and NVIDIA let
/// one choose, and other drivers do as they do.
fn start(args: &Args, ours: Option<&Path>, drivers: Option<&Path>) -> Result<[f64; 5]> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ghostnet"));
    command.args(["bench", MODEL, "--backend", "gpu", "--iters", "1", "--json"]);
    command.env("GHOSTNET_CACHE_DIR", ours.unwrap_or(Path::new("")));
    match drivers {
        Some(folder) => {
            command.env("MESA_SHADER_CACHE_DISABLE", "false").env("MESA_SHADER_CACHE_DIR", folder);
            command.env("__GL_SHADER_DISK_CACHE", "1").env("__GL_SHADER_DISK_CACHE_PATH", folder);
        }
        None => {
            command.env("MESA_SHADER_CACHE_DISABLE", "true").env("__GL_SHADER_DISK_CACHE", "0");
        }
    }
    if let Some(adapter) = &args.adapter {
        command.args(["--adapter", adapter]);
    }
    let output = command.output().context("starting ghostnet")?;
    if !output.status.success() {
        bail!("ghostnet bench: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let value: Value = serde_json::from_slice(&output.stdout).context("reading what ghostnet bench printed")?;
    Ok(PARTS.map(|part| value["startup_ms"][part].as_f64().unwrap_or(f64::NAN)))
}

fn row(name: &str, all: &[[f64; 5]]) -> Row {
    let column = |part: usize| all.iter().map(|times| times[part]).collect::<Vec<f64>>();
    let medians = [0, 1, 2, 3, 4].map(|part| median(column(part)));
    let [p10, p90] = spread(&column(4));
    let mut json = json!({ "p10_ms": p10, "p90_ms": p90 });
    for (part, ms) in PARTS.iter().zip(medians) {
        json[format!("{part}_ms")] = json!(ms);
    }
    let mut cells = vec![name.to_string()];
    cells.extend(medians.map(number));
    cells.push(format!("{}..{}", number(p10), number(p90)));
    Row { name: name.into(), ms: medians[4], json, cells }
}
