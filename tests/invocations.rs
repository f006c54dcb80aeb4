//! What a kernel must not lean on: that workgroup memory is zero at first, and the order of the
//! invocations of a workgroup. Composed shaders are rewritten, run on the adapter, and have to
//! leave the same bits behind.

mod common;

use common::{
    around::{self, Launch},
    net::{self, Random},
};
use ghostnet::{
    Precision,
    device::{Choice, DeviceClass},
    kernels::{self, decode},
    plan::{Plan, Resource, grid},
    shader, wgpu,
};
use std::collections::{BTreeMap, BTreeSet, HashSet};

fn of_step(plan: &Plan, step: usize) -> Launch {
    let plan = plan.only(step);
    let step = &plan.steps[0];
    let mut random = Random(1 + step.dispatch.params.iter().map(|&byte| u64::from(byte)).sum::<u64>());
    let mut buffers: Vec<Vec<u8>> = plan
        .slots
        .iter()
        .map(|bytes| {
            let mut of = plan.precision.to_bytes(&random.values(bytes / (plan.precision.block_bytes() / 4))).into_owned();
            of.resize(*bytes, 0);
            of
        })
        .collect();
    buffers.extend(plan.constants.iter().map(|constant| {
        let mut bytes = plan.precision_of(constant).to_bytes(&constant.data).into_owned();
        bytes.resize(bytes.len().next_multiple_of(16).max(16), 0);
        bytes
    }));
    let place = |resource| match resource {
        Resource::Slot(slot) => slot,
        Resource::Constant(constant) => plan.slots.len() + constant,
    };
    let bound = step.bindings.iter().map(|&(name, resource)| (name, place(resource))).collect();
    Launch { dispatch: step.dispatch.clone(), buffers, bound }
}

/// What a launch wrote, but records, which are in no order, in order.
fn ordered(launch: &Launch, mut written: Vec<u8>) -> Vec<u8> {
    if launch.dispatch.key.kernel == decode::KERNEL {
        let decode::Params { record, .. } = launch.dispatch.params();
        let found = bytemuck::pod_read_unaligned::<u32>(&written[..4]);
        assert!(found > 5, "{found} records are in any order");
        let mut records: Vec<Vec<u8>> = written[decode::HEAD..].chunks(4 * record as usize).map(<[u8]>::to_vec).collect();
        records.sort_unstable();
        written.truncate(decode::HEAD);
        written.extend(records.concat());
    }
    written
}

/// Launches of every kernel of a GPU's plans, no two of which are alike.
fn launches(halves: bool) -> Vec<Launch> {
    let mut launches = Vec::new();
    let mut known = HashSet::new();
    for (precision, multiplies_halves) in [(Precision::F32, false), (Precision::F16, halves)] {
        let choice = Choice { multiplies_halves, ..Choice::new(DeviceClass::Gpu) };
        for case in net::cases(choice, precision) {
            for (at, step) in case.plan.steps.iter().enumerate() {
                if known.insert((step.dispatch.key.clone(), step.dispatch.params.clone())) {
                    launches.push(of_step(&case.plan, at));
                }
            }
        }
    }
    launches.extend(around::launches().into_iter().filter(|launch| !launch.takes_texture()));
    launches
}

/// Workgroup memory that a shader declares: names, and types and numbers of elements.
fn memory(source: &str) -> Vec<(&str, &str, &str)> {
    source
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.strip_prefix("var<workgroup> ")?.split_once(": array<")?;
            let (element, count) = rest.strip_suffix(">;")?.rsplit_once(", ")?;
            Some((name, element, count))
        })
        .collect()
}

fn workgroup_size(source: &str) -> u32 {
    let of = source.split_once("@workgroup_size(").and_then(|(_, rest)| rest.split_once(')'));
    of.and_then(|(size, _)| size.trim_end_matches('u').parse().ok()).expect("it is one number")
}

/// A shader in which invocation `i` does what `i ^ order` did, and which finds `poison` in its
/// workgroup memory.
fn rewritten(source: &str, order: u32, poison: Option<&str>) -> String {
    let size = workgroup_size(source);
    let (head, main) = source.split_once("fn main(").expect("it has an entry point");
    let (arguments, body) = main.split_once(") {\n").expect("it has a body");
    let given = arguments.replace(" lane: u32", " invocation: u32");
    assert_ne!(arguments, given);
    let mut first = format!("    let lane = invocation ^ {order}u;\n");
    if let Some(poison) = poison {
        // Not a constant, for which WGSL has neither NaN nor infinity.
        first += &format!("    let poison = bitcast<f32>(invocation * 0u + {poison});\n");
        for (name, element, count) in memory(source) {
            let value = match element {
                "u32" => poison.to_string(),
                "f32" => "poison".to_string(),
                _ => format!("{element}(vec4<f32>(poison))"),
            };
            first += &format!("    for (var at = invocation; at < {count}u; at += {size}u) {{ {name}[at] = {value}; }}\n");
        }
        first += "    workgroupBarrier();\n";
    }
    format!("{head}fn main({given}) {{\n{first}{body}")
}

/// Bits of a NaN, and of 1e30, which no `max` takes away.
const POISONS: [&str; 2] = ["0x7fc00000u", "0x7149f2cau"];

struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    is_software: bool,
}

impl Gpu {
    /// A device of the tests' adapter; `None` where tests leave GPUs out.
    fn open() -> Option<Self> {
        let info = common::context()?.info();
        let adapters = pollster::block_on(
            wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle()).enumerate_adapters(wgpu::Backends::PRIMARY),
        );
        let is_it = |adapter: &wgpu::Adapter| {
            let of = adapter.get_info();
            (of.name.as_str(), of.backend.to_str()) == (&info.name, &info.backend)
        };
        let adapter = adapters.into_iter().find(is_it).expect("it was opened before");
        let required_features = adapter.features() & wgpu::Features::SHADER_F16;
        let descriptor = wgpu::DeviceDescriptor { required_features, ..Default::default() };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
        Some(Self { device, queue, is_software: info.is_software() })
    }

    /// A pipeline of a shader, and the layout of what is bound to it.
    fn pipeline(&self, source: &str) -> (wgpu::ComputePipeline, wgpu::BindGroupLayout) {
        let entry = |(binding, ty)| {
            let ty = wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None };
            wgpu::BindGroupLayoutEntry { binding, visibility: wgpu::ShaderStages::COMPUTE, ty, count: None }
        };
        let bindings = shader::bindings(source);
        let storage = |binding: &shader::Binding| (binding.index, wgpu::BufferBindingType::Storage { read_only: !binding.writes });
        let all = std::iter::once((0, wgpu::BufferBindingType::Uniform)).chain(bindings.iter().map(storage));
        let entries: Vec<_> = all.map(entry).collect();
        let layout = self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
        let descriptor = wgpu::PipelineLayoutDescriptor { label: None, bind_group_layouts: &[Some(&layout)], immediate_size: 0 };
        let pipeline_layout = self.device.create_pipeline_layout(&descriptor);
        let descriptor = wgpu::ShaderModuleDescriptor { label: None, source: wgpu::ShaderSource::Wgsl(source.into()) };
        let module = self.device.create_shader_module(descriptor);
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions { constants: &[], zero_initialize_workgroup_memory: false },
            cache: None,
        });
        (pipeline, layout)
    }

    fn buffer(&self, usage: wgpu::BufferUsages, bytes: &[u8]) -> wgpu::Buffer {
        let size = bytes.len().next_multiple_of(16) as u64;
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage: usage | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.queue.write_buffer(&buffer, 0, bytes);
        buffer
    }

    /// What a launch leaves in all that it writes.
    fn run(&self, (pipeline, layout): &(wgpu::ComputePipeline, wgpu::BindGroupLayout), launch: &Launch) -> Vec<u8> {
        use wgpu::BufferUsages as Usage;
        let params = self.buffer(Usage::UNIFORM, &launch.dispatch.params);
        let buffers: Vec<wgpu::Buffer> = launch.buffers.iter().map(|bytes| self.buffer(Usage::STORAGE | Usage::COPY_SRC, bytes)).collect();
        let bindings = shader::bindings(&launch.dispatch.key.source());
        let of = |name: &str| &buffers[launch.bound.iter().find(|(bound, _)| *bound == name).expect("it is bound").1];
        let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: params.as_entire_binding() }];
        entries.extend(
            bindings.iter().map(|binding| wgpu::BindGroupEntry { binding: binding.index, resource: of(&binding.name).as_entire_binding() }),
        );
        let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries });
        let written: Vec<&wgpu::Buffer> = bindings.iter().filter(|binding| binding.writes).map(|binding| of(&binding.name)).collect();
        let size = written.iter().map(|buffer| buffer.size()).sum();
        let readable = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage: Usage::MAP_READ | Usage::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, &group, &[]);
            let [x, y, z] = grid(launch.dispatch.workgroups);
            pass.dispatch_workgroups(x, y, z);
        }
        let mut at = 0;
        for buffer in written {
            encoder.copy_buffer_to_buffer(buffer, 0, &readable, at, buffer.size());
            at += buffer.size();
        }
        self.queue.submit([encoder.finish()]);
        readable.map_async(wgpu::MapMode::Read, .., |result| result.unwrap());
        self.device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
        readable.get_mapped_range(..).unwrap().to_vec()
    }
}

#[test]
fn no_result_depends_on_what_workgroup_memory_held_or_on_the_order_of_invocations() {
    let Some(gpu) = Gpu::open() else { return };
    let halves = gpu.device.features().contains(wgpu::Features::SHADER_F16);
    let mut of_pipelines: BTreeMap<_, Vec<Launch>> = BTreeMap::new();
    for launch in launches(halves) {
        of_pipelines.entry(launch.dispatch.key.clone()).or_default().push(launch);
    }
    let kernels: BTreeSet<&str> = of_pipelines.keys().map(|key| key.kernel.name()).collect();
    assert_eq!(kernels.len(), kernels::ALL.len(), "{kernels:?}");
    let mut seen: BTreeMap<(&str, &str), bool> = BTreeMap::new();
    let (mut alone, mut compared) = (BTreeSet::new(), 0);
    for (key, launches) in of_pipelines {
        let source = key.source();
        let kernel = key.kernel.name();
        let names: Vec<&str> = memory(&source).into_iter().map(|(name, ..)| name).collect();
        // Without memory in common, one shader of a kernel tells of all.
        if names.is_empty() && !alone.insert((kernel, key.define("F16"))) {
            continue;
        }
        assert_eq!(names.len(), source.matches("var<workgroup>").count(), "{}", key.file_name());
        let size = workgroup_size(&source);
        assert!(size.is_power_of_two(), "{}", key.file_name());
        compared += launches.len();
        let plain = gpu.pipeline(&source);
        let expected: Vec<Vec<u8>> = launches.iter().map(|launch| ordered(launch, gpu.run(&plain, launch))).collect();
        // The halves in the opposite order, and all invocations.
        let others = match names[..] {
            [] => vec![(size - 1, None)],
            _ => vec![(size / 2, Some(POISONS[0])), (size - 1, Some(POISONS[1]))],
        };
        for (order, poison) in others {
            let other = gpu.pipeline(&rewritten(&source, order, poison));
            for (launch, expected) in launches.iter().zip(&expected) {
                let params = &launch.dispatch.params;
                assert!(
                    ordered(launch, gpu.run(&other, launch)) == *expected,
                    "{}, lane ^ {order}, {poison:?}: {params:?}",
                    key.file_name()
                );
            }
        }
        if names.is_empty() {
            continue;
        }
        // What the above would find: a shader that does not write its memory, and one without
        // barriers.
        let writes = |line: &str| names.iter().any(|name| line.trim_start().starts_with(&format!("{name}["))) && line.contains("] = ");
        let unwritten: String = source.lines().filter(|line| !writes(line)).flat_map(|line| [line, "\n"]).collect();
        let unordered = source.replace("workgroupBarrier();", "");
        let pairs = [
            ("memory", rewritten(&unwritten, 0, Some(POISONS[0])), rewritten(&unwritten, 0, Some(POISONS[1]))),
            ("order", unordered.clone(), rewritten(&unordered, size - 1, None)),
        ];
        for (what, one, other) in pairs {
            let found = seen.entry((kernel, what)).or_default();
            if !*found {
                let (one, other) = (gpu.pipeline(&one), gpu.pipeline(&other));
                *found = launches.iter().any(|launch| gpu.run(&one, launch) != gpu.run(&other, launch));
            }
        }
    }
    println!("{compared} launches");
    let missed: Vec<_> = seen.iter().filter(|((_, what), found)| !**found && (gpu.is_software || *what == "memory")).collect();
    assert!(missed.is_empty(), "{missed:?}");
}
