//! A camera's texture, which egui shows and the network classifies: one device, and no pixel leaves
//! it. In an eframe program the same [`RenderState`] comes from `frame.wgpu_render_state()`. Here no
//! window is opened: two frames are drawn offscreen, and the last one goes into a PNG file where one
//! is named.
//!
//! ```sh
//! cargo run --release -p ghostnet-egui -- frame.png
//! ```

use anyhow::{Context as _, Result};
use egui::{RawInput, Rect, TextureId, pos2, vec2};
use egui_wgpu::{RenderState, RendererOptions, ScreenDescriptor, WgpuConfiguration};
use ghostnet::{
    Class, Engine, EngineOptions, Model, Network,
    image::{RgbaImage, imageops::FilterType},
    image_input::decode_file,
    wgpu,
};

/// Of the window that is not there, in pixels.
const WINDOW: [u32; 2] = [480, 320];
/// Of the camera's frames.
const CAMERA: [u32; 2] = [256, 256];
const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;

fn main() -> Result<()> {
    let state = pollster::block_on(state())?;
    let mut app = App::new(&state)?;
    let window = texture(&state.device, "window", WINDOW, wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC);
    let context = egui::Context::default();
    for path in ["assets/images/horse.png", "assets/images/chelsea.png"] {
        app.film(&state.queue, path)?;
        draw(&state, &context, &window, |ui| app.ui(ui))?;
        for class in &app.top {
            println!("{:5.1} %  {:12} {path}", 100.0 * class.probability, class.label);
        }
    }
    if let Some(path) = std::env::args().nth(1) {
        read(&state, &window)?.save(&path).with_context(|| format!("{path} cannot be written"))?;
    }
    Ok(())
}

/// What eframe makes at its start.
async fn state() -> Result<RenderState> {
    let descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor { backends: wgpu::Backends::PRIMARY, ..descriptor });
    Ok(RenderState::create(&WgpuConfiguration::default(), &instance, None, RendererOptions::default()).await?)
}

struct App {
    model: Model,
    camera: wgpu::Texture,
    shown: TextureId,
    top: Vec<Class>,
}

impl App {
    fn new(state: &RenderState) -> Result<Self> {
        let engine = Engine::with_device(state.device.clone(), state.queue.clone(), EngineOptions::default())?;
        println!("on {}", engine.adapter().name);
        // egui binds it, and the network copies from it.
        let usage = wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST | wgpu::TextureUsages::COPY_SRC;
        let camera = texture(&state.device, "camera", CAMERA, usage);
        let view = camera.create_view(&Default::default());
        let shown = state.renderer.write().register_native_texture(&state.device, &view, wgpu::FilterMode::Linear);
        Ok(Self { model: engine.load(Network::embedded()?)?, camera, shown, top: Vec::new() })
    }

    /// The camera's next frame: here from a file.
    fn film(&mut self, queue: &wgpu::Queue, path: &str) -> Result<()> {
        let [width, height] = CAMERA;
        let frame = decode_file(path.as_ref())?.resize_to_fill(width, height, FilterType::Triangle).to_rgba8();
        let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(4 * width), rows_per_image: None };
        queue.write_texture(self.camera.as_image_copy(), &frame, layout, self.camera.size());
        // With a window, `classify_texture_async` or a thread keeps the interface from waiting.
        self.top = self.model.classify_texture(&self.camera, 3)?;
        Ok(())
    }

    fn ui(&self, ui: &mut egui::Ui) {
        ui.horizontal(|ui| {
            ui.image((self.shown, CAMERA.map(|side| side as f32).into()));
            ui.vertical(|ui| {
                for class in &self.top {
                    ui.label(format!("{:.1} % {}", 100.0 * class.probability, class.label));
                    ui.add(egui::ProgressBar::new(class.probability).desired_width(160.0));
                }
            });
        });
    }
}

fn texture(device: &wgpu::Device, label: &str, [width, height]: [u32; 2], usage: wgpu::TextureUsages) -> wgpu::Texture {
    device.create_texture(&wgpu::TextureDescriptor {
        label: Some(label),
        size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: FORMAT,
        usage,
        view_formats: &[],
    })
}

/// One frame of the interface, as eframe draws it.
fn draw(state: &RenderState, context: &egui::Context, window: &wgpu::Texture, mut ui: impl FnMut(&mut egui::Ui)) -> Result<()> {
    let RenderState { device, queue, renderer, .. } = state;
    let [width, height] = WINDOW.map(|side| side as f32);
    let input = RawInput { screen_rect: Some(Rect::from_min_size(pos2(0.0, 0.0), vec2(width, height))), ..Default::default() };
    let mut output = context.run_ui(input, |root| _ = egui::CentralPanel::default().show(root, &mut ui));
    let screen = ScreenDescriptor { size_in_pixels: WINDOW, pixels_per_point: output.pixels_per_point };
    let jobs = context.tessellate(output.shapes, output.pixels_per_point);

    let mut renderer = renderer.write();
    for (id, deltas) in output.textures_delta.set.drain() {
        deltas.iter().for_each(|delta| renderer.update_texture(device, queue, id, delta));
    }
    let mut encoder = device.create_command_encoder(&Default::default());
    let before = renderer.update_buffers(device, queue, &mut encoder, &jobs, &screen);

    let ops = wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::BLACK), store: wgpu::StoreOp::Store };
    let view = window.create_view(&Default::default());
    let attachment = wgpu::RenderPassColorAttachment { view: &view, depth_slice: None, resolve_target: None, ops };
    let pass = wgpu::RenderPassDescriptor { color_attachments: &[Some(attachment)], ..Default::default() };
    renderer.render(&mut encoder.begin_render_pass(&pass).forget_lifetime(), &jobs, &screen);
    queue.submit(before.into_iter().chain([encoder.finish()]));
    output.textures_delta.free.drain().for_each(|id| renderer.free_texture(&id));
    Ok(())
}

/// What was drawn.
fn read(state: &RenderState, window: &wgpu::Texture) -> Result<RgbaImage> {
    let RenderState { device, queue, .. } = state;
    let [width, height] = WINDOW;
    let padded = (4 * width).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("frame"),
        size: u64::from(padded * height),
        usage,
        mapped_at_creation: false,
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(padded), rows_per_image: None };
    let to = wgpu::TexelCopyBufferInfo { buffer: &buffer, layout };
    encoder.copy_texture_to_buffer(window.as_image_copy(), to, window.size());
    queue.submit([encoder.finish()]);
    buffer.map_async(wgpu::MapMode::Read, .., |result| result.expect("the device is there"));
    device.poll(wgpu::PollType::wait_indefinitely())?;
    let rows = buffer.get_mapped_range(..)?;
    let pixels = rows.chunks_exact(padded as usize).flat_map(|row| &row[..4 * width as usize]).copied().collect();
    RgbaImage::from_raw(width, height, pixels).context("as many bytes as pixels")
}
