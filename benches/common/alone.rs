//! One kernel on any shape: `cargo bench --bench kernels -- KERNEL SHAPE`, with the options that
//! the kernel's room names.

use super::{Args, Findings, Row, isa, percent, us};
use anyhow::Result;
use clap::{
    Arg, ArgAction, ArgMatches, Args as _, Command, CommandFactory as _, FromArgMatches as _, builder::PossibleValuesParser,
    error::ErrorKind,
};
use ghostnet::{
    Engine, Precision,
    device::{Choice, DeviceClass},
    kernels::{
        self,
        case::{Case, Cases},
    },
    measure::{
        gb_per_s, gflops,
        kernel::{Measured, measure, options},
    },
    plan::PlanOptions,
};
use ghostnet_cli::report::text::{Align, bytes, number, write_file};
use std::path::PathBuf;

/// How a kernel is measured, whichever it is.
#[derive(clap::Args)]
#[command(next_help_heading = "Measurement")]
struct How {
    /// The kernels of a class of device [default: the adapter's]
    #[arg(long, value_parser = PossibleValuesParser::new(CLASSES.map(|(name, _)| name)))]
    class: Option<String>,
    /// Values stored as halves, multiplied too where the device offers it
    #[arg(long)]
    f16: bool,
    /// Write the composed shader
    #[arg(long, value_name = "FILE.wgsl")]
    dump: Option<PathBuf>,
    /// A program that says what a shader costs on an AMD GPU, as isa-stats does [default: isa-stats
    /// on the PATH, if there is one]
    #[arg(long, value_name = "TOOL")]
    isa: Option<PathBuf>,
}

const CLASSES: [(&str, DeviceClass); 3] = [("gpu", DeviceClass::Gpu), ("software", DeviceClass::Software), ("cpu", DeviceClass::Cpu)];

/// The bench's options, and a subcommand for each kernel.
pub fn command() -> Command {
    // Options of the bench may stand behind the kernel too; but a kernel's `--out` is its channels,
    // not the charts' directory.
    let bench = Args::command().mut_args(|arg| {
        let own = arg.get_id() == "out";
        arg.global(!own)
    });
    bench
        .bin_name("cargo bench --bench kernels --")
        .about("Measures every layer of GhostNet 1.0, or one kernel on any shape")
        .after_help("`KERNEL --help` says what a kernel takes.")
        .subcommand_value_name("KERNEL")
        .subcommand_help_heading("Kernels")
        .disable_help_subcommand(true)
        .subcommands(kernels::CASES.iter().map(kernel))
}

fn kernel(cases: &'static Cases) -> Command {
    let options = cases.options().map(|option| {
        let arg = Arg::new(option.name).long(option.name).help(option.about).help_heading("Case");
        match option.value {
            "" => arg.action(ArgAction::SetTrue),
            value => arg.value_name(value),
        }
    });
    let shape = Arg::new("SHAPE").required(true).value_name(cases.shape).help("Images, channels, rows and columns, as far as there are");
    let name = cases.kernel.name();
    How::augment_args(Command::new(name).arg(shape).args(options)).about(format!("Measures `{name}` alone"))
}

/// Measures the kernel that the options name.
pub fn run(args: &Args, name: &str, given: &ArgMatches) -> Result<()> {
    let cases = kernels::CASES.iter().find(|cases| cases.kernel.name() == name).expect("the subcommands are the kernels");
    let how = How::from_arg_matches(given).unwrap_or_else(|error| error.exit());
    let precision = if how.f16 { Precision::F16 } else { Precision::F32 };
    let class = CLASSES.iter().find(|(name, _)| how.class.as_deref() == Some(*name));
    let choice = class.map(|(_, class)| Choice::new(*class));
    let engine = Engine::new(args.options().precision(precision).choice(choice))?;
    let mut case = case(cases, given, &options(&engine));
    // The CPU runs no shader.
    let shader = engine.gpu().map(|_| case.plan.steps[0].dispatch.key.source());
    if let Some((file, shader)) = how.dump.as_ref().zip(shader.as_ref()) {
        write_file(file, shader.as_bytes())?;
    }
    let found = pollster::block_on(measure(&engine, &case, args.quick))?;
    let cost = shader.map(|shader| isa::cost(&shader, how.isa.as_deref())).transpose()?.flatten();
    // Rows of a baseline are told apart by name.
    if let Some((class, _)) = class {
        case.name += &format!(" --class {class}");
    }
    if how.f16 {
        case.name += " --f16";
    }
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
    let flops = if step.macs == 0 { "-".into() } else { number(gflops(step.macs, *ms)) };
    let cells = vec![
        case.name.clone(),
        us(*ms),
        format!("{}..{}", us(*p10), us(*p90)),
        found.repeats.to_string(),
        flops,
        number(gb_per_s(step.read_bytes + step.write_bytes, *ms)),
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
        more: found.more(),
        notes,
    }
}
