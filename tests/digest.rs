//! What GPUs are given, by checksum: every composed shader, parameter block, packed constant and
//! plan of GhostNet. Nothing of it changes by accident.
//!
//! `tests/data/digest.txt` holds the checksums. `GHOSTNET_DIGEST_DIR=DIR cargo test --test digest`
//! writes what they are of, and DIR/digest.txt. Two of these folders show with `diff -r` what a
//! change does. A change that is meant to copies the new digest into the tree, in a commit of its
//! own.

mod common;

use common::around;
use ghostnet::{
    Network, Precision,
    device::{Choice, DeviceClass},
    graph::{Shape, passes},
    image_input::Preprocess,
    kernels,
    plan::{ConstantCache, Form, PipelineKey, Plan, PlanOptions, Resource},
};
use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf};

/// A shader without what changes nothing: comments, indentation and blank lines.
fn code(source: &str) -> String {
    let lines = source.lines().map(|line| line.split("//").next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).flat_map(|line| [line, "\n"]).collect()
}

fn checksum(bytes: &[u8]) -> String {
    format!("{:08x}", crc32fast::hash(bytes))
}

/// The files of a digest by name.
#[derive(Default)]
struct Files(BTreeMap<String, String>);

impl Files {
    /// Adds a shader, named by its kernel and code; returns the name.
    fn shader(&mut self, key: &PipelineKey) -> String {
        let code = code(&key.source());
        let name = format!("{}-{}", key.kernel, checksum(code.as_bytes()));
        self.0.insert(format!("shaders/{name}.wgsl"), code);
        name
    }

    /// Adds a plan as text.
    fn plan(&mut self, name: &str, plan: &Plan) {
        let mut text = format!("input slot {} {:?}\nslots {:?}\n", plan.inputs[0].slot, plan.inputs[0].shape, plan.slots);
        for step in &plan.steps {
            let shader = self.shader(&step.dispatch.key);
            let (workgroups, read, write) = (step.dispatch.workgroups, step.read_bytes, step.write_bytes);
            writeln!(text, "{}: {shader} x {workgroups}, {} macs, {read} read, {write} written", step.name, step.macs).unwrap();
            let values = step.dispatch.params.chunks_exact(4).map(|value| u32::from_le_bytes(value.try_into().unwrap()));
            for (param, value) in step.dispatch.key.kernel.params().iter().zip(values) {
                writeln!(text, "    {param} = {value}").unwrap();
            }
            let mut bindings = step.bindings.clone();
            bindings.sort_by_key(|(name, _)| *name);
            for (binding, resource) in bindings {
                match resource {
                    Resource::Slot(slot) => writeln!(text, "    {binding}: slot {slot}").unwrap(),
                    Resource::Constant(at) => {
                        let constant = &plan.constants[at];
                        let values = checksum(bytemuck::cast_slice(&constant.data));
                        let kind = if constant.stored { "stored as the plan says" } else { "f32" };
                        writeln!(text, "    {binding}: {} values {values}, {kind}", constant.data.len()).unwrap();
                    }
                }
            }
        }
        for output in &plan.outputs {
            writeln!(text, "output {} slot {} {:?} {} bytes {:?}", output.name, output.slot, output.place, output.bytes, output.shape)
                .unwrap();
        }
        self.0.insert(format!("plans/{name}.txt"), text);
    }

    /// A line for each file: its name and checksum.
    fn digest(&self) -> String {
        let mut lines = String::new();
        for (name, text) in &self.0 {
            writeln!(lines, "{name} {}", checksum(text.as_bytes())).unwrap();
        }
        lines
    }
}

/// GhostNet at three widths, on devices that multiply f32 or halves, one image or eight, as logits
/// and as classes.
fn files() -> Files {
    let mut files = Files::default();
    for name in ["ghostnet_050", "ghostnet_100", "ghostnet_130"] {
        let mut graph = Network::random(name, 0).unwrap().graph().clone();
        passes::run(&mut graph, passes::REQUIRED);
        passes::run(&mut graph, passes::FUSING);
        for (precision, multiplies_halves, products) in
            [(Precision::F32, false, "f32"), (Precision::F16, false, "f16-stored"), (Precision::F16, true, "f16-multiplied")]
        {
            let choice = Choice { multiplies_halves, ..Choice::new(DeviceClass::Gpu) };
            let mut packed = ConstantCache::new();
            for n in [1, 8] {
                for (form, shown) in [(Form::Tensors, "tensors"), (Form::Classify { k: 5 }, "classify")] {
                    let normalise = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];
                    let options = PlanOptions { form, precision, choice, normalise };
                    let plan = Plan::new(&graph, &[Shape::new(n, 3, 224, 224)], &options, &mut packed).unwrap();
                    files.plan(&format!("{name}-{products}-n{n}-{shown}"), &plan);
                }
            }
        }
    }
    let resize = Preprocess::default().resize([480, 640]).unwrap();
    for (f16, texture) in [(false, false), (false, true), (true, false), (true, true)] {
        let dispatch = kernels::resize::dispatch(&resize.problem(), f16, texture, 0);
        let shader = files.shader(&dispatch.key);
        let text = format!("{shader} x {}\n{:?}\n", dispatch.workgroups, dispatch.params);
        files.0.insert(format!("plans/resize-f16-{f16}-texture-{texture}.txt"), text);
    }
    for launch in around::launches() {
        files.shader(&launch.dispatch.key);
    }
    files
}

#[test]
fn gpus_get_what_they_got() {
    let files = files();
    let digest = files.digest();
    if let Some(folder) = std::env::var_os("GHOSTNET_DIGEST_DIR").map(PathBuf::from) {
        for (name, text) in &files.0 {
            let file = folder.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        fs::write(folder.join("digest.txt"), &digest).unwrap();
    }
    let kept = fs::read_to_string(common::path("tests/data/digest.txt")).unwrap();
    let differ = |a: &str, b: &str| a.lines().filter(|line| !b.lines().any(|other| other == *line)).map(String::from).collect::<Vec<_>>();
    let (new, gone) = (differ(&digest, &kept), differ(&kept, &digest));
    assert!(new.is_empty() && gone.is_empty(), "not as in tests/data/digest.txt (see the head of this file): new {new:#?}, gone {gone:#?}");
}
