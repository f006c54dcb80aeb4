//! A program with a wgpu device of its own draws a picture, and the network classifies it where it
//! lies: no pixel leaves the GPU. No window is needed. With a window the texture is the surface's
//! frame, or what a game drew; eframe and Bevy hand out their device and queue alike.

use anyhow::{Context as _, Result};
use ghostnet::{Engine, EngineOptions, Network, image_input::decode_file, wgpu};

/// Draws a picture over the whole target.
const SHADER: &str = "
@group(0) @binding(0) var picture: texture_2d<f32>;

@vertex
fn corner(@builtin(vertex_index) at: u32) -> @builtin(position) vec4<f32> {
    return vec4(f32(at % 2u) * 4.0 - 1.0, f32(at / 2u) * 4.0 - 1.0, 0.0, 1.0);
}

@fragment
fn pixel(@builtin(position) at: vec4<f32>) -> @location(0) vec4<f32> {
    return textureLoad(picture, vec2<u32>(at.xy), 0);
}
";

fn main() -> Result<()> {
    let (device, queue) = pollster::block_on(open())?;
    let picture = decode_file("assets/images/chelsea.png".as_ref())?.to_rgba8();
    let target = draw(&device, &queue, &picture);

    let engine = Engine::with_device(device, queue, EngineOptions::default())?;
    let model = engine.load(Network::embedded()?)?;
    println!("on {}", engine.adapter().name);
    for class in model.classify_texture(&target, 3)? {
        println!("{:5.1} %  {}", 100.0 * class.probability, class.label);
    }
    Ok(())
}

/// The program's own device.
async fn open() -> Result<(wgpu::Device, wgpu::Queue)> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default()).await.context("no GPU adapter")?;
    Ok(adapter.request_device(&wgpu::DeviceDescriptor::default()).await?)
}

/// A texture with the picture drawn on it.
fn draw(device: &wgpu::Device, queue: &wgpu::Queue, picture: &ghostnet::image::RgbaImage) -> wgpu::Texture {
    let size = wgpu::Extent3d { width: picture.width(), height: picture.height(), depth_or_array_layers: 1 };
    let texture = |label, usage| {
        device.create_texture(&wgpu::TextureDescriptor {
            label: Some(label),
            size,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage,
            view_formats: &[],
        })
    };
    let source = texture("picture", wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST);
    let target = texture("target", wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC);
    let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(4 * size.width), rows_per_image: None };
    queue.write_texture(source.as_image_copy(), picture, layout, size);

    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source: wgpu::ShaderSource::Wgsl(SHADER.into()) });
    let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some("draw"),
        layout: None,
        vertex: wgpu::VertexState { module: &module, entry_point: None, compilation_options: Default::default(), buffers: &[] },
        primitive: Default::default(),
        depth_stencil: None,
        multisample: Default::default(),
        fragment: Some(wgpu::FragmentState {
            module: &module,
            entry_point: None,
            compilation_options: Default::default(),
            targets: &[Some(wgpu::TextureFormat::Rgba8Unorm.into())],
        }),
        multiview_mask: None,
        cache: None,
    });
    let view = source.create_view(&Default::default());
    let bound = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::TextureView(&view) }],
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &target.create_view(&Default::default()),
                depth_slice: None,
                resolve_target: None,
                ops: Default::default(),
            })],
            ..Default::default()
        });
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bound, &[]);
        pass.draw(0..3, 0..1);
    }
    queue.submit([encoder.finish()]);
    target
}
