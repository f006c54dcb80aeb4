//! A program's own wgpu device: an engine on it, and textures, inputs and results that stay there.

mod common;

use common::own::{devices, texture};
use ghostnet::{
    Backend, Engine, EngineOptions, Error, Network, OnDevice, Tensor, Top,
    image::{DynamicImage, imageops},
    image_input::decode_file,
    wgpu,
};

#[test]
fn a_texture_is_classified_as_the_image_is() {
    use wgpu::TextureFormat::{Bgra8Unorm, Bgra8UnormSrgb, R8Unorm, Rgba8Unorm, Rgba8UnormSrgb};
    let Some([(device, queue), (other, its_queue)]) = devices(wgpu::Limits::default()) else { return };
    let (cat, usage) = (decode_file(&common::path("assets/images/chelsea.png")).unwrap(), wgpu::TextureUsages::COPY_SRC);
    let part = [40, 20, 200, 180];
    let engine = Engine::with_device(device.clone(), queue.clone(), EngineOptions::default()).unwrap();
    assert_eq!((engine.backend(), engine.fallback()), ("gpu", None));
    let model = engine.load(Network::embedded().unwrap()).unwrap();
    let whole = model.classify(&cat, 10).unwrap();
    let [x, y, width, height] = part;
    let of_part = model.classify(&DynamicImage::from(imageops::crop_imm(&cat.to_rgba8(), x, y, width, height).to_image()), 10).unwrap();
    assert_ne!(whole, of_part);
    for format in [Rgba8Unorm, Rgba8UnormSrgb, Bgra8Unorm, Bgra8UnormSrgb] {
        let texture = texture(&device, &queue, &cat, format, usage);
        assert_eq!(model.classify_texture(&texture, 10).unwrap(), whole, "{format:?}");
        assert_eq!(model.classify_texture(&texture, Top::new(10).part(part)).unwrap(), of_part, "{format:?}");
    }

    let good = texture(&device, &queue, &cat, Rgba8Unorm, usage);
    let wrong =
        |texture: &wgpu::Texture, part: Option<[u32; 4]>| model.classify_texture(texture, Top::new(1).part(part)).unwrap_err().to_string();
    for part in [[0, 0, 0, 1], [0, 0, cat.width() + 1, 1], [cat.width(), 0, 1, 1], [u32::MAX, 0, 2, 1]] {
        assert!(wrong(&good, Some(part)).contains("is no part of it"), "{part:?}");
    }
    assert!(wrong(&texture(&device, &queue, &cat, R8Unorm, usage), None).contains("R8Unorm"));
    assert!(wrong(&texture(&device, &queue, &cat, Rgba8Unorm, wgpu::TextureUsages::TEXTURE_BINDING), None).contains("COPY_SRC"));
    // Of a device that is not the engine's: no panic, and the engine goes on.
    let foreign = texture(&other, &its_queue, &cat, Rgba8Unorm, usage);
    assert!(matches!(model.classify_texture(&foreign, 1), Err(Error::Gpu(_))));
    assert_eq!(model.classify_texture(&good, 10).unwrap(), whole);
    // The CPU has no textures.
    let cpu = Engine::new(EngineOptions::default().backend(Backend::Cpu)).unwrap().load(Network::embedded().unwrap()).unwrap();
    assert!(matches!(cpu.classify_texture(&good, 1), Err(Error::Unsupported { .. })));
}

/// The values of a buffer that a result was left in, on their way that a program takes.
fn values(device: &wgpu::Device, queue: &wgpu::Queue, buffer: &wgpu::Buffer) -> Vec<f32> {
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
    let readable = device.create_buffer(&wgpu::BufferDescriptor { label: None, size: buffer.size(), usage, mapped_at_creation: false });
    let mut encoder = device.create_command_encoder(&Default::default());
    encoder.copy_buffer_to_buffer(buffer, 0, &readable, 0, buffer.size());
    queue.submit([encoder.finish()]);
    readable.map_async(wgpu::MapMode::Read, .., |result| result.unwrap());
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    bytemuck::pod_collect_to_vec(&readable.get_mapped_range(..).unwrap())
}

#[test]
fn buffers_give_what_tensors_give() {
    let Some([(device, queue), (other, _)]) = devices(wgpu::Limits::default()) else { return };
    let engine = Engine::with_device(device.clone(), queue.clone(), EngineOptions::default()).unwrap();
    let model = engine.load(Network::embedded().unwrap()).unwrap();
    let (n, pixels) = (2, 32 * 32);
    let mut random = common::net::Random(1);
    let tensor = Tensor { shape: vec![n, 3, 32, 32], data: random.values(n * 3 * pixels) };
    let expected = model.run(&tensor).unwrap();
    let mut blocks = vec![0.0f32; n * pixels * 4];
    for (at, value) in tensor.data.iter().enumerate() {
        blocks[(at / pixels / 3 * pixels + at % pixels) * 4 + at / pixels % 3] = *value;
    }
    let buffer = |device: &wgpu::Device, values: usize, usage| {
        let size = values as u64 * 4;
        device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    };
    let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    let input = buffer(&device, blocks.len(), usage);
    queue.write_buffer(&input, 0, bytemuck::cast_slice(&blocks));
    let name = model.graph().inputs()[0].name.clone();
    let run = |name: &str, buffer: &wgpu::Buffer| model.run_buffers(n, [32, 32], &[(name, buffer)]);
    let first = run(&name, &input).unwrap().remove(0);
    // The first result stays what it is when another run comes.
    queue.write_buffer(&input, 0, &vec![0; blocks.len() * 4]);
    let second = run(&name, &input).unwrap().remove(0);
    let classes = expected.shape[1];
    assert_eq!(first.shape, [n, classes, 1, 1]);
    let logits = |result: &OnDevice| {
        let values = values(&device, &queue, &result.buffer);
        let place = |image: usize, class| {
            result.offset + image * result.stride + result.lanes.iter().position(|lane| *lane == Some(class)).unwrap()
        };
        (0..n * classes).map(|at| values[place(at / classes, at % classes)]).collect::<Vec<f32>>()
    };
    assert_eq!(logits(&first), expected.data);
    assert_ne!(logits(&second), expected.data);

    let wrong = |name: &str, buffer: &wgpu::Buffer| run(name, buffer).unwrap_err().to_string();
    assert!(wrong(&name, &buffer(&device, blocks.len() - 1, usage)).contains("are needed"));
    assert!(wrong(&name, &buffer(&device, blocks.len(), wgpu::BufferUsages::COPY_DST)).contains("COPY_SRC"));
    assert!(wrong("nobody", &input).contains("no input is called `nobody`"));
    assert!(model.run_buffers(n, [32, 32], &[]).unwrap_err().to_string().contains("is missing"));
    assert!(matches!(run(&name, &buffer(&other, blocks.len(), usage)), Err(Error::Gpu(_))));
    queue.write_buffer(&input, 0, bytemuck::cast_slice(&blocks));
    assert_eq!(logits(&run(&name, &input).unwrap()[0]), expected.data);
    let cpu = Engine::new(EngineOptions::default().backend(Backend::Cpu)).unwrap().load(Network::embedded().unwrap()).unwrap();
    assert!(matches!(cpu.run_buffers(n, [32, 32], &[(&name, &input)]), Err(Error::Unsupported { .. })));
}

#[test]
fn a_device_with_too_little_is_refused() {
    let Some([(device, queue), _]) = devices(wgpu::Limits::downlevel_defaults()) else { return };
    let error = Engine::with_device(device, queue, EngineOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains("max_storage_buffers_per_shader_stage"), "{error}");
}
