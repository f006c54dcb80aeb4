//! Runs every bench, with --quick, and writes one Markdown file to attach to an issue:
//! `cargo bench --bench report`, options `-- --out DIR --full`.

mod common;

use anyhow::{Context as _, Result, bail};
use common::Args;
use ghostnet::{AdapterInfo, Engine, adapters};
use ghostnet_cli::report::text::{count, write_file};
use std::{
    env,
    fmt::Write as _,
    path::Path,
    process::{Command, Stdio},
};

/// The benches, their headings and their charts.
const BENCHES: [(&str, &str, Option<&str>); 5] = [
    ("startup", "Start-up", None),
    ("model", "Runs end to end", None),
    ("family", "Time against accuracy", Some("family.svg")),
    ("ghost", "Ghost modules against plain convolutions", Some("ghost.svg")),
    ("kernels", "Layers", Some("roofline.svg")),
];

fn main() -> Result<()> {
    let Some(args) = Args::parse_for("report")? else { return Ok(()) };
    if args.json || args.save.is_some() || args.baseline.is_some() {
        bail!("the report is Markdown; --json, --save and --baseline are options of the benches (`cargo bench --bench kernels`)");
    }
    let file = args.file("report.md")?;
    let mut text = system(&args.engine()?)?;
    for (name, heading, chart) in BENCHES {
        eprintln!("{name} ...");
        writeln!(text, "\n## {heading}\n")?;
        // One that fails is part of the report.
        match run(name, &args) {
            Ok(printed) => writeln!(text, "```text\n{}\n```", printed.trim())?,
            Err(error) => writeln!(text, "Failed: `{error:#}`")?,
        }
        if let Some(chart) = chart.filter(|chart| args.out.join(chart).exists()) {
            writeln!(text, "\n![{heading}]({chart})")?;
        }
    }
    write_file(&file, text.as_bytes())?;
    println!("{} (attach the charts beside it too)", file.display());
    Ok(())
}

fn system(engine: &Engine) -> Result<String> {
    let mut text = format!("# ghostnet {} on {}\n\n", env!("CARGO_PKG_VERSION"), engine.adapter().name);
    let threads = std::thread::available_parallelism().map_or(0, usize::from);
    let commit = tool("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"]);
    let rust = tool(&env::var("RUSTC").unwrap_or("rustc".into()), &["--version"]);
    writeln!(text, "| | |\n|---|---|")?;
    for (name, value) in [
        ("system", format!("{} {}, {threads} threads", env::consts::OS, env::consts::ARCH)),
        ("source", commit.unwrap_or("not from git".into())),
        ("compiler", rust.unwrap_or("unknown".into())),
    ] {
        writeln!(text, "| {name} | {value} |")?;
    }
    writeln!(text, "\n| adapter | API | driver | type | features |\n|---|---|---|---|---|")?;
    for info in adapters() {
        let AdapterInfo { name, backend, driver, device_type, features } = &info;
        let name = if info == *engine.adapter() { format!("**{name}**") } else { name.clone() };
        writeln!(text, "| {name} | {backend} | {driver} | {device_type} | {} |", features.join(", "))?;
    }
    writeln!(text, "\n| limit | adapter | device |\n|---|--:|--:|")?;
    for limit in engine.gpu().map(|context| context.limits()).unwrap_or_default() {
        writeln!(text, "| `{}` | {} | {} |", limit.name, count(limit.adapter), count(limit.device))?;
    }
    Ok(text)
}

/// The first line that a program prints, if there is such a program and it is content.
fn tool(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stderr(Stdio::null()).output().ok().filter(|o| o.status.success())?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_string)
}

/// Runs a bench through cargo, which builds it first, and returns what it printed. Its JSON goes
/// beside the report.
fn run(name: &str, args: &Args) -> Result<String> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["bench", "--quiet", "--bench", name, "--"]);
    let directory = std::path::absolute(&args.out)?;
    let json = directory.join(name).with_extension("json");
    command.arg("--out").arg(&directory).arg("--save").arg(json);
    command.arg(if args.full { "--full" } else { "--quick" });
    command.args(["--backend", &args.backend]);
    if let Some(adapter) = &args.adapter {
        command.args(["--adapter", adapter]);
    }
    if let Some(threads) = args.threads {
        command.args(["--threads", &threads.to_string()]);
    }
    let output = command.stderr(Stdio::inherit()).output().context("starting cargo")?;
    if !output.status.success() {
        bail!("`cargo bench --bench {name}` failed ({})", output.status);
    }
    Ok(without_paths(&String::from_utf8_lossy(&output.stdout), &directory))
}

/// Where files lie on someone's machine is nobody's business.
fn without_paths(text: &str, directory: &Path) -> String {
    text.replace(&format!("{}{}", directory.display(), std::path::MAIN_SEPARATOR), "")
}
