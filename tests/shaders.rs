//! Every shader that any plan composes: valid, within WebGPU's default limits, and translatable to
//! what each system's driver takes.

mod common;
#[path = "shaders/drivers.rs"]
mod drivers;

use common::{
    around,
    net::{self, CLASSES, FUSINGS},
};
use ghostnet::{
    Network, Precision,
    device::{Choice, Decision, DeviceClass},
    gpu::roofline,
    graph::Shape,
    kernels,
    plan::{ConstantCache, Form, Kernel, PipelineKey, Plan, PlanOptions, grid},
    shader::{self, Binding},
};
use naga::{
    AddressSpace, Module, ShaderStage, StorageAccess,
    back::hlsl::ShaderModel,
    proc::Layouter,
    valid::{Capabilities, ModuleInfo, ValidationFlags, Validator},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::{Path, PathBuf},
    sync::OnceLock,
};

// WebGPU's default limits (https://www.w3.org/TR/webgpu/#limits), by their names there.
const MAX_COMPUTE_INVOCATIONS_PER_WORKGROUP: u32 = 256;
const MAX_COMPUTE_WORKGROUP_SIZE: [u32; 3] = [256, 256, 64];
const MAX_COMPUTE_WORKGROUP_STORAGE_SIZE: u32 = 16384;
const MAX_COMPUTE_WORKGROUPS_PER_DIMENSION: u32 = 65535;
const MAX_STORAGE_BUFFERS_PER_SHADER_STAGE: usize = 8;
const MAX_UNIFORM_BUFFER_BINDING_SIZE: u32 = 65536;

/// Pipelines of GhostNet 1.0 from an input to logits, at most: each costs start-up time. Raise one
/// only for what the time buys, and none above 22. With preprocessing and top-k 24 are allowed.
fn max_pipelines(class: DeviceClass) -> usize {
    match class {
        DeviceClass::Gpu => 20,
        DeviceClass::Software | DeviceClass::Cpu => 22,
    }
}

/// How plans use a composed shader.
#[derive(Default)]
struct Used {
    /// The names that each plan's steps bind.
    bound: BTreeSet<Vec<&'static str>>,
    /// By a plan for the class of GPUs.
    on_gpus: bool,
}

/// The composed shaders of all plans.
fn shaders() -> &'static BTreeMap<PipelineKey, Used> {
    static SHADERS: OnceLock<BTreeMap<PipelineKey, Used>> = OnceLock::new();
    SHADERS.get_or_init(|| {
        let mut shaders: BTreeMap<PipelineKey, Used> = BTreeMap::new();
        let mut add = |class: DeviceClass, plan: Plan| {
            for step in plan.steps {
                assert_eq!(step.dispatch.params.len(), 4 * step.dispatch.key.kernel.params().len(), "`{}`", step.name);
                let side = grid(step.dispatch.workgroups).into_iter().max();
                assert!(side <= Some(MAX_COMPUTE_WORKGROUPS_PER_DIMENSION), "`{}`: {side:?} workgroups", step.name);
                let mut names: Vec<&str> = step.bindings.iter().map(|(name, _)| *name).collect();
                names.sort_unstable();
                let used = shaders.entry(step.dispatch.key).or_default();
                used.bound.insert(names);
                used.on_gpus |= class == DeviceClass::Gpu;
            }
        };
        let networks = net::networks().into_iter().flat_map(|(network, shape)| {
            let forms = [Form::Tensors, Form::Classify { k: 5 }];
            let graphs = [network.graph().clone(), network.feature_graph().unwrap()];
            let wanted = [(0, 0), (0, 1), (1, 0)];
            wanted.map(|(graph, form)| (graphs[graph].clone(), shape, forms[form].clone()))
        });
        let small = net::SHAPES.map(|shape| (net::every_operation(shape.c), shape, Form::Tensors));
        let wide = net::SHAPES.map(|shape| (net::wide_ghosts(shape.c), shape, Form::Tensors));
        let squeeze_excites = net::squeeze_excites().into_iter().map(|(graph, shape)| (graph, shape, Form::Tensors));
        for (graph, shape, form) in networks.chain(small).chain(wide).chain(squeeze_excites) {
            for class in CLASSES {
                let graphs = [true, false].map(|fused| net::after_passes(graph.clone(), fused));
                for fusing in FUSINGS {
                    let graph = &graphs[usize::from(fusing == net::Fusing::None)];
                    for (precision, multiplies_halves) in [(Precision::F32, false), (Precision::F16, false), (Precision::F16, true)] {
                        let mut options = net::options(class, fusing, form.clone(), precision);
                        options.choice.multiplies_halves = multiplies_halves;
                        add(class, Plan::new(graph, &[shape], &options, &mut ConstantCache::new()).unwrap());
                    }
                }
            }
        }
        for (class, precision) in CLASSES.into_iter().flat_map(|class| [(class, Precision::F32), (class, Precision::F16)]) {
            net::cases(Choice::new(class), precision).for_each(|case| add(class, case.plan));
        }
        // What `ghostnet tune` may choose.
        let (network, shape) = net::networks().swap_remove(1);
        let graphs = [(network.graph().clone(), shape)].into_iter().chain(net::SHAPES.map(|shape| (net::wide_ghosts(shape.c), shape)));
        for (graph, shape) in graphs {
            let graph = net::after_passes(graph, true);
            for class in CLASSES {
                let mut packed = ConstantCache::new();
                for (_, choice) in Decision::ALL.into_iter().flat_map(|decision| decision.candidates(&Choice::new(class))) {
                    let options = PlanOptions { choice, ..net::options(class, net::Fusing::All, Form::Tensors, Precision::F32) };
                    add(class, Plan::new(&graph, &[shape], &options, &mut packed).unwrap());
                }
            }
        }
        for launch in around::launches() {
            let used = shaders.entry(launch.dispatch.key).or_default();
            let mut names: Vec<&str> = launch.bound.iter().map(|(name, _)| *name).collect();
            names.sort_unstable();
            used.bound.insert(names);
            used.on_gpus = true;
        }
        let used: HashSet<Kernel> = shaders.keys().map(|key| key.kernel).collect();
        assert_eq!(used.len(), kernels::ALL.len(), "every kernel is used");
        println!("{} shaders, {} of them for GPUs", shaders.len(), shaders.values().filter(|used| used.on_gpus).count());
        shaders
    })
}

/// File name and WGSL of every shader: the kernels' and those that measure the device.
fn sources() -> impl Iterator<Item = (String, String)> {
    shaders().keys().map(|key| (key.file_name(), key.source())).chain(roofline::shaders())
}

/// Those of [`sources`] that a GPU is given.
fn on_gpus() -> impl Iterator<Item = (String, String)> {
    let of_gpus = shaders().iter().filter(|(_, used)| used.on_gpus).map(|(key, _)| (key.file_name(), key.source()));
    of_gpus.chain(roofline::shaders())
}

fn multiplies_halves(source: &str) -> bool {
    source.contains("\nenable f16;")
}

/// Parses and validates a shader, with no capability beyond WebGPU's own. `unpack2x16float` is core
/// WGSL, for naga a capability. `shader-f16` is WebGPU's too, and for those alone that say that
/// they want it.
fn validated(name: &str, source: &str) -> (Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(source).unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(source)));
    let halves = if multiplies_halves(source) { Capabilities::SHADER_FLOAT16 } else { Capabilities::empty() };
    let capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32 | halves;
    let mut validator = Validator::new(ValidationFlags::all(), capabilities);
    let info = validator.validate(&module);
    let info = info.unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(source)));
    (module, info)
}

#[test]
fn shaders_translate_to_what_drivers_take_as_wgpu_does_it() {
    for (name, source) in sources() {
        let (module, info) = validated(&name, &source);
        let (bindings, halves) = (shader::bindings(&source), multiplies_halves(&source));
        for driver in drivers::VULKAN {
            let words = drivers::spirv(&module, &info, halves, driver).unwrap_or_else(|e| panic!("{name}: {driver:?}: {e}"));
            assert!(!words.is_empty(), "{name}");
        }
        for version in drivers::METAL {
            drivers::metal(&module, &info, &bindings, version).unwrap_or_else(|e| panic!("{name}: Metal {version:?}: {e}"));
        }
        for model in drivers::DIRECT3D {
            if !halves || model >= ShaderModel::V6_2 {
                drivers::hlsl(&module, &info, &bindings, model).unwrap_or_else(|e| panic!("{name}: HLSL {model:?}: {e}"));
            }
        }
    }
}

/// What a command says of each file of a folder that it refuses, as many at once as there are
/// processors. `None` if there is no such command.
fn refused_by(command: &str, arguments: &[&str], folder: &Path) -> Option<Vec<String>> {
    let files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty());
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let one = |file: &PathBuf| match std::process::Command::new(command).args(arguments).arg(file).output() {
        Ok(output) if output.status.success() => Some(None),
        Ok(output) => Some(Some(format!("{}: {}", file.display(), String::from_utf8_lossy(&output.stderr).trim()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("{command}: {error}"),
    };
    let parts: Vec<Option<Vec<String>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = files
            .chunks(files.len().div_ceil(at_once))
            .map(|files| {
                scope.spawn(move || files.iter().map(one).collect::<Option<Vec<_>>>().map(|all| all.into_iter().flatten().collect()))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    parts.into_iter().collect::<Option<Vec<_>>>().map(|parts| parts.concat())
}

#[test]
fn what_drivers_are_given_passes_spirv_val() {
    for driver in drivers::VULKAN {
        let folder = tempfile::tempdir().unwrap();
        for (name, source) in on_gpus() {
            let (module, info) = validated(&name, &source);
            let words = drivers::spirv(&module, &info, multiplies_halves(&source), driver).unwrap();
            std::fs::write(folder.path().join(name), bytemuck::cast_slice(&words)).unwrap();
        }
        match refused_by("spirv-val", &["--target-env", driver.environment], folder.path()) {
            Some(refused) => assert!(refused.is_empty(), "{driver:?}: {}", refused.join("\n")),
            None => eprintln!("no command `spirv-val`: the SPIR-V was not validated"),
        }
    }
}

#[test]
fn shaders_pass_tint() {
    let folder = tempfile::tempdir().unwrap();
    for (name, source) in sources() {
        std::fs::write(folder.path().join(&name), source).unwrap();
    }
    match refused_by("tint", &["--format", "wgsl"], folder.path()) {
        Some(refused) => assert!(refused.is_empty(), "{}", refused.join("\n")),
        None => eprintln!("no command `tint`: Chromium's compiler has not seen the shaders"),
    }
}

#[test]
fn shaders_are_within_webgpus_default_limits() {
    let mut most_memory = (0, String::new());
    for (name, source) in sources() {
        let (module, info) = validated(&name, &source);
        let [entry] = &module.entry_points[..] else { panic!("{name}: {} entry points", module.entry_points.len()) };
        assert_eq!((entry.name.as_str(), entry.stage), ("main", ShaderStage::Compute), "{name}");
        assert!(
            entry.workgroup_size_overrides.is_none() && module.overrides.is_empty(),
            "{name}: sizes are not known before a pipeline is made"
        );
        let size = entry.workgroup_size;
        assert!(size.iter().zip(MAX_COMPUTE_WORKGROUP_SIZE).all(|(s, most)| (1..=most).contains(s)), "{name}: {size:?}");
        assert!(size.iter().product::<u32>() <= MAX_COMPUTE_INVOCATIONS_PER_WORKGROUP, "{name}: {size:?}");

        let mut layouter = Layouter::default();
        layouter.update(module.to_ctx()).unwrap();
        let used = info.get_entry_point(0);
        let (mut memory, mut storage_buffers) = (0, 0);
        for (handle, variable) in module.global_variables.iter().filter(|(handle, _)| !used[*handle].is_empty()) {
            let bytes = layouter[variable.ty].size;
            let what = || variable.name.clone().unwrap_or_else(|| format!("{handle:?}"));
            match variable.space {
                // Rounded up one by one, as WebGPU's rules for maxComputeWorkgroupStorageSize say.
                AddressSpace::WorkGroup => memory += bytes.next_multiple_of(16),
                AddressSpace::Storage { .. } => storage_buffers += 1,
                AddressSpace::Uniform => assert!(bytes <= MAX_UNIFORM_BUFFER_BINDING_SIZE, "{name}: {} has {bytes} bytes", what()),
                AddressSpace::Handle => {}
                other => assert_eq!(other, AddressSpace::Private, "{name}: {}", what()),
            }
        }
        assert!(memory <= MAX_COMPUTE_WORKGROUP_STORAGE_SIZE, "{name}: {memory} bytes of workgroup memory");
        assert!(storage_buffers <= MAX_STORAGE_BUFFERS_PER_SHADER_STAGE, "{name}: {storage_buffers} storage buffers");
        most_memory = most_memory.max((memory, name));
    }
    println!("most workgroup memory: {} bytes, {}", most_memory.0, most_memory.1);
}

#[test]
fn bindings_are_what_naga_sees_and_plans_bind() {
    for (key, used) in shaders() {
        let name = key.file_name();
        let (module, _) = validated(&name, &key.source());
        let mut uniforms = Vec::new();
        let mut seen = Vec::new();
        for (_, variable) in module.global_variables.iter() {
            let Some(at) = &variable.binding else { continue };
            assert_eq!(at.group, 0, "{name}");
            let variable_name = variable.name.clone().unwrap();
            match variable.space {
                AddressSpace::Storage { access } => {
                    assert!(access.contains(StorageAccess::LOAD), "{name}: {variable_name}");
                    seen.push(Binding {
                        index: at.binding,
                        name: variable_name,
                        writes: access.contains(StorageAccess::STORE),
                        texture: false,
                    });
                }
                AddressSpace::Uniform => uniforms.push((at.binding, variable_name)),
                AddressSpace::Handle => seen.push(Binding { index: at.binding, name: variable_name, writes: false, texture: true }),
                other => panic!("{name}: {variable_name} is in {other:?}"),
            }
        }
        assert_eq!(uniforms, [(0, "params".to_string())], "{name}");
        let mut declared = shader::bindings(&key.source());
        let by_index = |b: &Binding| b.index;
        seen.sort_by_key(by_index);
        declared.sort_by_key(by_index);
        assert_eq!(declared, seen, "{name}");
        assert!(seen.windows(2).all(|pair| pair[0].index < pair[1].index), "{name}: {seen:?}");
        let mut names: Vec<&str> = seen.iter().map(|b| b.name.as_str()).collect();
        names.sort_unstable();
        for step in &used.bound {
            assert_eq!(*step, names, "{name}: a step binds these");
        }
    }
}

#[test]
fn ghostnet_needs_few_pipelines() {
    let graph = net::after_passes(Network::random("ghostnet_100", 0).unwrap().graph().clone(), true);
    for class in CLASSES {
        let fusing = net::options(class, net::Fusing::All, Form::Tensors, Precision::F32);
        for n in [1, 8] {
            let plan = Plan::new(&graph, &[Shape::new(n, 3, 224, 224)], &fusing, &mut ConstantCache::new()).unwrap();
            let case = format!("{class:?}, batch {n}: {} pipelines", plan.pipelines());
            println!("{case}");
            assert!(plan.pipelines() <= max_pipelines(class), "{case}");
        }
    }
}

fn stems(folder: &str) -> BTreeSet<String> {
    let files = std::fs::read_dir(common::path(folder)).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.is_file());
    files
        .map(|path| {
            assert_eq!(path.extension().and_then(|e| e.to_str()), Some("wgsl"), "{}", path.display());
            path.file_stem().unwrap().to_str().unwrap().to_string()
        })
        .collect()
}

fn imports(source: &str) -> impl Iterator<Item = String> + '_ {
    source.lines().filter_map(|line| Some(line.trim().strip_prefix("#import ")?.to_string()))
}

#[test]
fn every_shader_file_is_used_and_says_what_it_does() {
    let rooms = kernels::ALL.iter().map(|kernel| kernel.name().to_string());
    let measuring = roofline::shaders().into_iter().map(|(file, _)| file.trim_end_matches(".wgsl").to_string());
    let used: BTreeSet<String> = rooms.chain(measuring).collect();
    assert_eq!(stems("shaders"), used);
    let mut imported = BTreeSet::new();
    for stem in &used {
        let source = std::fs::read_to_string(common::path(&format!("shaders/{stem}.wgsl"))).unwrap();
        let head = format!("// {stem}: ");
        assert!(source.starts_with(&head), "{stem}.wgsl does not begin with `{head}`");
        imported.extend(imports(&source));
    }
    let shared = stems("shaders/shared");
    for stem in &shared {
        let source = std::fs::read_to_string(common::path(&format!("shaders/shared/{stem}.wgsl"))).unwrap();
        assert!(source.starts_with("// "), "shared/{stem}.wgsl has no head comment");
        imported.extend(imports(&source));
    }
    assert_eq!(imported, shared);
}

#[test]
fn file_names_tell_shaders_apart() {
    let names: HashSet<String> = shaders().keys().map(PipelineKey::file_name).collect();
    assert_eq!(names.len(), shaders().len());
}
