//! From nothing to the first logits, each time in a fresh process: the command `ghostnet bench`, whose start-up times are read.
//! `cargo bench --bench startup`.

mod common;

use anyhow::{Context as _, Result, bail};
use common::{Args, Findings, Row};
use ghostnet::{
    median,
    report::{
        spread,
        text::{Align, number},
    },
};
use serde_json::{Value, json};
use std::{fs, process::Command};

const MODEL: &str = "ghostnet_100";
const PARTS: [&str; 5] = ["device", "weights", "pipelines", "first_run", "total"];

/// Processes of each kind.
const FULL: usize = 7;
const QUICK: usize = 2;

fn main() -> Result<()> {
    let Some(args) = Args::parse_for("startup")? else { return Ok(()) };
    let engine = args.engine()?;
    let info = engine.adapter();
    let processes = args.pick(FULL, QUICK);
    // A cache of this bench's own: what else ran on this machine does not matter.
    let directory = args.file("shader_cache")?;
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory)?;
    let cache = directory.to_string_lossy().into_owned();
    let kinds: Vec<(&str, Vec<(&str, &str)>)> = if info.driver.contains("Mesa") {
        vec![
            ("no shader cache", vec![("MESA_SHADER_CACHE_DISABLE", "true")]),
            ("shader cache", vec![("MESA_SHADER_CACHE_DISABLE", "false"), ("MESA_SHADER_CACHE_DIR", &cache)]),
        ]
    } else {
        vec![("as the driver does", Vec::new())]
    };
    let mut rows = Vec::new();
    for (name, variables) in &kinds {
        // Warm-up: files into memory, shaders into the cache.
        start(&args, variables)?;
        let all = (0..processes).map(|_| start(&args, variables)).collect::<Result<Vec<_>>>()?;
        rows.push(row(name, &all));
    }
    fs::remove_dir_all(&directory)?;
    use Align::{Left, Right};
    let findings = Findings {
        name: "startup",
        method: format!(
            "{MODEL}, random weights, batch 1: opening the device, making and packing weights, compiling pipelines, and the first run, in a \
             fresh process each time; wall clock; warm-up: one process; then {processes} processes; medians"
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
        more: json!({ "processes": processes }),
        notes: if kinds.len() == 1 { vec!["whether the driver caches shaders is not known here".into()] } else { Vec::new() },
    };
    findings.finish(&args)
}

/// One process: milliseconds of each of [`PARTS`].
fn start(args: &Args, variables: &[(&str, &str)]) -> Result<[f64; 5]> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ghostnet"));
    command.args(["bench", MODEL, "--backend", "gpu", "--iters", "1", "--json"]).envs(variables.iter().copied());
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
