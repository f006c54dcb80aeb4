//! What the benches share: options, the device, timing on it, and how results leave.
#![allow(dead_code)] // each bench uses its own part

pub mod alone;
pub mod chart;
mod isa;

use anyhow::{Context as _, Result, anyhow};
use clap::Parser;
use ghostnet::{AdapterInfo, Backend, CacheDir, Engine, EngineOptions, measure::document, median, plan::Plan};
use ghostnet_cli::report::text::{Align, adapter, bold, dim, number, table, write_file};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    env, fs,
    path::{Path, PathBuf},
};

/// The project's folder, above the package's.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the project's folder")
}

/// Options of every bench, after `cargo bench --bench NAME --`.
#[derive(Debug, Clone, Parser)]
#[command(name = "cargo bench --", disable_version_flag = true)]
pub struct Args {
    /// Print a JSON object
    #[arg(long)]
    pub json: bool,
    /// Few and short repetitions: to see that it works, or for a first impression
    #[arg(long)]
    pub quick: bool,
    /// Many repetitions: the default of all but the report
    #[arg(long, conflicts_with = "quick")]
    pub full: bool,
    /// `gpu`: the shaders, on the best adapter; `cpu`: the processor's own loops
    #[arg(long, value_name = "gpu|cpu", default_value = "gpu", value_parser = ["gpu", "cpu"], hide_possible_values = true)]
    pub backend: String,
    /// Part of the wanted adapter's name, driver or API
    #[arg(long, value_name = "SUBSTRING")]
    pub adapter: Option<String>,
    /// The most threads of the CPU [default: as many as the machine grants]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Compare with a file that --save wrote: a column with the ratio of each row's time to what it
    /// was
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Write the JSON object to a file
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Directory of charts and reports
    #[arg(long, value_name = "DIR", default_value_os_t = root().join("target/bench"))]
    pub out: PathBuf,
    /// What `cargo bench` says to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    /// The options of the bench `name`. `None` where nothing is to be measured:
    /// `cargo test --all-targets` runs benches, without `--bench`.
    pub fn parse_for(name: &str) -> Result<Option<Self>> {
        Self::parse().checked(name)
    }

    /// The options, if anything is to be measured.
    pub fn checked(self, name: &str) -> Result<Option<Self>> {
        // Cargo starts a bench in its package's folder. Who starts cargo names files from the
        // project's.
        if env::var_os("CARGO_MANIFEST_DIR").is_some() {
            env::set_current_dir(root()).with_context(|| format!("going to {}", root().display()))?;
        }
        let args = self;
        if !args.bench {
            eprintln!("nothing measured: use `cargo bench`");
            return Ok(None);
        }
        // Before minutes of measuring, not after.
        if let Some(file) = &args.baseline {
            Baseline::read(file, name)?;
        }
        Ok(Some(args))
    }

    /// `full`, or `quick` with --quick.
    pub fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// The wanted device. The CPU is measured where it is asked for, and does not stand in.
    pub fn options(&self) -> EngineOptions {
        let backend = if self.backend == "cpu" { Backend::Cpu } else { Backend::Gpu };
        EngineOptions::default().backend(backend).adapter(self.adapter.clone()).threads(self.threads).cache(CacheDir::User)
    }

    pub fn engine(&self) -> Result<Engine> {
        Ok(Engine::new(self.options())?)
    }

    /// Where a chart goes; the directory is there then.
    pub fn file(&self, name: &str) -> Result<PathBuf> {
        fs::create_dir_all(&self.out).with_context(|| format!("making the directory {}", self.out.display()))?;
        Ok(self.out.join(name))
    }

    pub fn write_chart(&self, name: &str, svg: &str) -> Result<()> {
        let file = self.file(name)?;
        write_file(&file, svg.as_bytes())?;
        if !self.json {
            println!("{}", dim(&format!("chart: {}", file.display())));
        }
        Ok(())
    }
}

/// Bytes of activations and weights that a plan's steps read and write.
pub fn bytes(plan: &Plan) -> u64 {
    plan.steps.iter().map(|s| s.read_bytes + s.write_bytes).sum()
}

/// Columns of a table: a name, and where the text stands.
pub type Head = [(&'static str, Align)];

/// A row: its name, unique in its bench, its time, what the JSON holds, and what the table shows.
pub struct Row {
    pub name: String,
    pub ms: f64,
    pub json: Value,
    pub cells: Vec<String>,
}

/// What a bench found.
pub struct Findings<'a> {
    /// The bench.
    pub name: &'static str,
    /// What was measured and how: warm-up, repetitions, clock.
    pub method: String,
    pub info: &'a AdapterInfo,
    pub head: &'a Head,
    pub rows: Vec<Row>,
    /// What else the JSON holds.
    pub more: Value,
    /// Lines below the table.
    pub notes: Vec<String>,
}

impl Findings<'_> {
    /// Compares, prints and saves.
    pub fn finish(mut self, args: &Args) -> Result<()> {
        let mut head = self.head.to_vec();
        if let Some(file) = &args.baseline {
            let baseline = Baseline::read(file, self.name)?;
            head.push(("x baseline", Align::Right));
            for row in &mut self.rows {
                let ratio = baseline.ms.get(&row.name).map(|before| row.ms / before);
                row.json["ratio_to_baseline"] = json!(ratio);
                row.cells.push(ratio.map_or("-".into(), |r| format!("{r:.2}")));
            }
            let ratios: Vec<f64> = self.rows.iter().filter_map(|row| row.json["ratio_to_baseline"].as_f64()).collect();
            if baseline.adapter != self.info.name {
                self.notes.push(format!("the baseline is of another adapter: {}", baseline.adapter));
            }
            self.notes.push(format!("against {}: median ratio {:.3} of {} rows", file.display(), median(ratios.clone()), ratios.len()));
        }
        let rows = self.rows.iter().map(|row| (row.name.clone(), row.ms, row.json.clone())).collect();
        let object = document(self.name, self.info, &self.method, args.quick, self.more, rows);
        if let Some(file) = &args.save {
            write_file(file, format!("{object:#}\n").as_bytes())?;
        }
        if args.json {
            println!("{object}");
            return Ok(());
        }
        let cells: Vec<Vec<String>> = self.rows.into_iter().map(|row| row.cells).collect();
        println!("{}\non {}, {}\n{}\n", bold(self.name), adapter(self.info), self.info.driver, self.method);
        println!("{}\n", table(&head, &cells));
        for note in self.notes {
            println!("{}", dim(&note));
        }
        Ok(())
    }
}

/// What a bench found before.
struct Baseline {
    adapter: String,
    ms: HashMap<String, f64>,
}

impl Baseline {
    fn read(file: &Path, bench: &str) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let saved: Value = serde_json::from_str(&text).with_context(|| format!("reading {}", file.display()))?;
        if saved["bench"] != bench {
            return Err(anyhow!("{} is of the bench {}, not {bench}", file.display(), saved["bench"]));
        }
        let time = |row: &Value| Some((row["name"].as_str()?.to_string(), row["ms"].as_f64()?));
        let ms = saved["rows"].as_array().into_iter().flatten().filter_map(time).collect();
        Ok(Self { adapter: saved["adapter"].as_str().unwrap_or_default().into(), ms })
    }
}

/// Microseconds with three digits.
pub fn us(ms: f64) -> String {
    number(1e3 * ms)
}

pub fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}
