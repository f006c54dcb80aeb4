//! Buffers of a program in, and results that stay on the GPU: the program's own shader makes the
//! network's input, another one reads its logits, and what comes back is one line an image:
//! `cargo run --release --example buffers`.

use anyhow::{Context as _, Result};
use ghostnet::{
    Engine, EngineOptions, Network,
    image_input::decode_file,
    wgpu::{self, BufferUsages as Usage},
};

const PICTURES: [&str; 3] = ["assets/images/chelsea.png", "assets/images/horse.png", "assets/images/rocket.jpg"];

/// The program's two shaders.
const SHADERS: &str = "
struct Numbers {
    scale: vec4<f32>,
    shift: vec4<f32>,
    offset: u32,
    stride: u32,
}

struct Best {
    lane: u32,
    probability: f32,
}

@group(0) @binding(0) var<uniform> numbers: Numbers;
@group(0) @binding(1) var<storage> pixels: array<u32>;
@group(0) @binding(2) var<storage, read_write> blocks: array<vec4<f32>>;

// Pixels become the blocks of four channels that the network takes.
@compute @workgroup_size(64)
fn normalise(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&pixels) {
        blocks[id.x] = unpack4x8unorm(pixels[id.x]) * numbers.scale + numbers.shift;
    }
}

@group(0) @binding(3) var<storage> logits: array<f32>;
@group(0) @binding(4) var<storage> is_class: array<u32>;
@group(0) @binding(5) var<storage, read_write> best: array<Best>;

// The most probable class of each image, and its softmax.
@compute @workgroup_size(1)
fn choose(@builtin(global_invocation_id) id: vec3<u32>) {
    let first = numbers.offset + id.x * numbers.stride;
    var found = 0u;
    var sum = 0.0;
    for (var lane = 0u; lane < arrayLength(&is_class); lane++) {
        if is_class[lane] == 0u { continue; }
        let logit = logits[first + lane];
        let most = logits[first + found];
        if sum > 0.0 && logit <= most {
            sum += exp(logit - most);
        } else {
            sum = sum * exp(most - logit) + 1.0;
            found = lane;
        }
    }
    best[id.x] = Best(found, 1.0 / sum);
}
";

fn main() -> Result<()> {
    let (device, queue) = pollster::block_on(open())?;
    let engine = Engine::with_device(device.clone(), queue.clone(), EngineOptions::default())?;
    let network = Network::embedded()?;
    let model = engine.load(network.clone())?;
    println!("on {}", engine.adapter().name);

    // Here pixels come from files. A program that draws or films has them on the device already.
    let preprocess = network.preprocess()?;
    let decoded = PICTURES.iter().map(|path| model.pixels(&decode_file(path.as_ref())?)).collect::<ghostnet::Result<Vec<_>>>()?.concat();
    let buffer = |label, size: usize, usage| {
        let size = size as u64;
        device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false })
    };
    let filled = |label, bytes: &[u8], usage| {
        let buffer = buffer(label, bytes.len(), usage | Usage::COPY_DST);
        queue.write_buffer(&buffer, 0, bytes);
        buffer
    };
    let pixels = filled("pixels", bytemuck::cast_slice(&decoded), Usage::STORAGE);
    let blocks = buffer("blocks", decoded.len() * 16, Usage::STORAGE | Usage::COPY_SRC);

    let module =
        device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source: wgpu::ShaderSource::Wgsl(SHADERS.into()) });
    let dispatch = |entry: &str, bound: &[(u32, &wgpu::Buffer)], workgroups: usize, read: Option<(&wgpu::Buffer, &wgpu::Buffer)>| {
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry),
            layout: None,
            module: &module,
            entry_point: Some(entry),
            compilation_options: Default::default(),
            cache: None,
        });
        let entries: Vec<_> = bound
            .iter()
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding: *binding, resource: buffer.as_entire_binding() })
            .collect();
        let layout = pipeline.get_bind_group_layout(0);
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout: &layout, entries: &entries });
        let mut encoder = device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &group, &[]);
            pass.dispatch_workgroups(workgroups as u32, 1, 1);
        }
        if let Some((from, to)) = read {
            encoder.copy_buffer_to_buffer(from, 0, to, 0, to.size());
        }
        queue.submit([encoder.finish()]);
    };

    // Nothing below waits for the device before the last line's read: its queue keeps the order.
    let [r, g, b] = [0, 1, 2].map(|at| 1.0 / preprocess.std[at]);
    let [mean_r, mean_g, mean_b] = preprocess.mean;
    let numbers = [[r, g, b, 0.0], [-mean_r * r, -mean_g * g, -mean_b * b, 0.0]];
    let numbers: &[u8] = bytemuck::cast_slice(&numbers);
    let of_input = filled("numbers", &[numbers, &[0; 16]].concat(), Usage::UNIFORM);
    dispatch("normalise", &[(0, &of_input), (1, &pixels), (2, &blocks)], decoded.len().div_ceil(64), None);

    let input = &*network.graph().inputs()[0].name;
    let results = model.run_buffers(PICTURES.len(), preprocess.size, &[(input, &blocks)])?;
    let logits = results.first().context("a network has a result")?;

    let place = [logits.offset as u32, logits.stride as u32, 0, 0];
    let of_logits = filled("numbers", &[numbers, bytemuck::cast_slice(&place)].concat(), Usage::UNIFORM);
    let is_class: Vec<u32> = logits.lanes.iter().map(|lane| lane.is_some().into()).collect();
    let is_class = filled("is_class", bytemuck::cast_slice(&is_class), Usage::STORAGE);
    let best = buffer("best", PICTURES.len() * 8, Usage::STORAGE | Usage::COPY_SRC);
    let read = buffer("read", PICTURES.len() * 8, Usage::MAP_READ | Usage::COPY_DST);
    let bound = [(0, &of_logits), (3, &logits.buffer), (4, &is_class), (5, &best)];
    dispatch("choose", &bound, PICTURES.len(), Some((&best, &read)));

    read.map_async(wgpu::MapMode::Read, .., |result| result.expect("the device is there"));
    device.poll(wgpu::PollType::wait_indefinitely())?;
    let read: Vec<[u32; 2]> = bytemuck::pod_collect_to_vec(&read.get_mapped_range(..)?);
    for (path, [lane, probability]) in PICTURES.iter().zip(read) {
        let class = logits.lanes[lane as usize].context("the shader skips empty lanes")?;
        println!("{:5.1} %  {:12} {path}", 100.0 * f32::from_bits(probability), network.labels()[class]);
    }
    Ok(())
}

/// The program's own device.
async fn open() -> Result<(wgpu::Device, wgpu::Queue)> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default()).await.context("no GPU adapter")?;
    Ok(adapter.request_device(&wgpu::DeviceDescriptor::default()).await?)
}
