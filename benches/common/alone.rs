//! One kernel on any shape: `cargo bench --bench kernels -- KERNEL SHAPE`, with the options that
//! the kernel's room names.

use super::{Args, Findings, Row, isa, percent, us};
use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory as _, error::ErrorKind, value_parser};
use ghostnet::{
    Backend, Engine, EngineOptions, Precision,
    device::{Choice, DeviceClass},
    kernels::{
        self,
        case::{Case, Cases},
    },
    measure::{
        gb_per_s, gflops,
        kernel::{Measured, measure},
    },
    plan::{Form, PlanOptions},
};
use ghostnet_cli::report::text::{Align, bytes, number, write_file};
use serde_json::json;
use std::path::PathBuf;

/// The bench's options, and a subcommand for each kernel.
pub fn command() -> Command {
    // Options of the bench may stand behind the kernel too; but a kernel's `--out` is its channels,
    // not the charts' directory.
    let bench = Args::command().mut_args(|arg| {
        let own = arg.get_id() == "out";
        arg.global(!own)
    });
    let bench = bench
        .after_help("KERNEL measures one kernel on any shape; `KERNEL --help` says what it takes. Without: every layer of GhostNet 1.0");
    bench.subcommand_value_name("KERNEL").subcommand_help_heading("Kernels").subcommands(kernels::CASES.iter().map(kernel))
}

fn kernel(cases: &'static Cases) -> Command {
    let name = cases.kernel.name();
    let options = cases.options().map(|option| {
        let arg = Arg::new(option.name).long(option.name).help(option.about);
        match option.value {
            "" => arg.action(ArgAction::SetTrue),
            value => arg.value_name(value),
        }
    });
    Command::new(name)
        .about(format!("Measure `{name}` alone"))
        .arg(
            Arg::new("SHAPE")
                .required(true)
                .value_name(cases.shape)
                .help("Images, channels, rows and columns of the input, as far as it has them"),
        )
        .args(options)
        .next_help_heading("Device")
        .arg(
            Arg::new("class")
                .long("class")
                .value_name("CLASS")
                .value_parser(["gpu", "software", "cpu"])
                .help("The kernels of a class of device [default: the adapter's]"),
        )
        .arg(
            Arg::new("f16")
                .long("f16")
                .action(ArgAction::SetTrue)
                .help("Values stored as halves, multiplied too where the device offers it"),
        )
        .arg(Arg::new("dump").long("dump").value_name("FILE.wgsl").value_parser(value_parser!(PathBuf)).help("Write the composed shader"))
        .arg(
            Arg::new("isa").long("isa").value_name("TOOL").value_parser(value_parser!(PathBuf)).help(
                "A program that says what a shader costs on an AMD GPU, as isa-stats does [default: isa-stats, if it is on the PATH]",
            ),
        )
}

/// Measures the kernel that the options name.
pub fn run(args: &Args, name: &str, given: &ArgMatches) -> Result<()> {
    let cases = kernels::CASES.iter().find(|cases| cases.kernel.name() == name).expect("the subcommands are the kernels");
    let precision = if given.get_flag("f16") { Precision::F16 } else { Precision::F32 };
    let class = given.get_one::<String>("class").map(|class| match class.as_str() {
        "gpu" => DeviceClass::Gpu,
        "software" => DeviceClass::Software,
        _ => DeviceClass::Cpu,
    });
    let options = EngineOptions::default().backend(Backend::Gpu).adapter(args.adapter.clone()).precision(precision);
    let engine = Engine::blocking(options.choice(class.map(Choice::new)))?;
    let options = PlanOptions { form: Form::Tensors, precision, choice: engine.choice(), normalise: [[0.0; 3], [1.0; 3]] };
    let case = case(cases, given, &options);
    let step = &case.plan.steps[0];
    if let Some(file) = given.get_one::<PathBuf>("dump") {
        write_file(file, step.dispatch.key.source().as_bytes())?;
    }
    let found = pollster::block_on(measure(&engine, &case, args.quick))?;
    let cost = isa::cost(&step.dispatch.key.source(), given.get_one::<PathBuf>("isa").map(|tool| &**tool))?;
    findings(&engine, &case, &found, cost).finish(args)
}

/// The case that the options say; ends the program where they say none.
fn case(cases: &Cases, given: &ArgMatches, options: &PlanOptions) -> Case {
    let mut text = given.get_one::<String>("SHAPE").expect("required").clone();
    for option in cases.options() {
        if option.value.is_empty() {
            if given.get_flag(option.name) {
                text += &format!(" --{}", option.name);
            }
        } else if let Some(value) = given.get_one::<String>(option.name) {
            text += &format!(" --{} {value}", option.name);
        }
    }
    cases.case(&text, options).unwrap_or_else(|error| command().error(ErrorKind::ValueValidation, error).exit())
}

fn findings<'a>(engine: &'a Engine, case: &Case, found: &Measured, cost: Option<isa::Cost>) -> Findings<'a> {
    use Align::{Left, Right};
    let Measured { step, ms, spread: [p10, p90], roof, .. } = found;
    let mut json = found.json();
    let mut notes = vec![
        format!("shader: {}", step.dispatch.key.file_name()),
        format!("{} multiply-adds, {} read, {} written", number(step.macs as f64), bytes(step.read_bytes), bytes(step.write_bytes)),
        format!(
            "roof: {} GFLOP/s from registers, {} GB/s for as many bytes",
            number(roof.gflops),
            number(roof.gb_per_s(step.read_bytes + step.write_bytes))
        ),
    ];
    if let Some(cost) = cost {
        json["isa"] = cost.json();
        notes.push(cost.to_string());
    }
    let flops = if step.macs == 0 { "-".into() } else { number(gflops(step, *ms)) };
    let cells = vec![
        case.name.clone(),
        us(*ms),
        format!("{}..{}", us(*p10), us(*p90)),
        found.repeats.to_string(),
        flops,
        number(gb_per_s(step, *ms)),
        percent(found.of_roof),
        step.dispatch.workgroups.to_string(),
    ];
    Findings {
        name: "kernel",
        method: found.method.clone(),
        info: engine.adapter(),
        head: &[
            ("case", Left),
            ("us", Right),
            ("p10..p90", Right),
            ("repeats", Right),
            ("GFLOP/s", Right),
            ("GB/s", Right),
            ("of roof", Right),
            ("workgroups", Right),
        ],
        rows: vec![Row { name: case.name.clone(), ms: *ms, json, cells }],
        more: json!({
            "roofline": {
                "gflops": roof.gflops,
                "copies": roof.copies.iter().map(|c| json!({ "bytes": c.bytes, "gb_per_s": c.gb_per_s })).collect::<Vec<_>>(),
            },
        }),
        notes,
    }
}
