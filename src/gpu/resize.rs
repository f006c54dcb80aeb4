//! Images that the device resizes itself, in front of a plan's steps.

use super::{
    buffers::{ALIGNMENT, UPLOAD, checked, filled, grow, unreadable},
    context::Context,
    info::{Image, Source},
    step::PreparedStep,
};
use crate::{
    Error, Result,
    kernels::{
        preprocess,
        resize::{self, Problem, Rows},
    },
    plan::{Place, Plan, grid},
};
use std::{ops::Range, sync::Arc};

/// Sizes of images for which everything is kept ready; beyond this the oldest goes.
const MAX_READY: usize = 8;

/// The dispatches that take the place of a plan's first step, `preprocess`, when images are resized
/// on the device.
pub(super) struct Resizer {
    batch: usize,
    f16: bool,
    /// The network's input.
    output: wgpu::Buffer,
    place: Place,
    scale_shift: (wgpu::Buffer, Range<u64>),
    /// What images are read from; both as large as the largest so far.
    words: Option<wgpu::Buffer>,
    texture: Option<wgpu::Texture>,
    /// The newest last.
    ready: Vec<Ready>,
}

/// The dispatch for images of one size: one for each place in the batch.
struct Ready {
    resize: Arc<Problem>,
    texture: bool,
    steps: Vec<PreparedStep>,
}

/// Why a texture is none that images are read from, of which `[x, y, width, height]` is wanted.
pub(crate) fn check_texture(texture: &wgpu::Texture, [x, y, width, height]: [u32; 4]) -> Result<()> {
    use wgpu::TextureFormat::{Bgra8Unorm, Bgra8UnormSrgb, Rgba8Unorm, Rgba8UnormSrgb};
    let wrong = |what: String| Err(Error::shape("texture", what));
    let (format, has) = (texture.format(), texture.size());
    if !matches!(format, Rgba8Unorm | Rgba8UnormSrgb | Bgra8Unorm | Bgra8UnormSrgb) {
        return wrong(format!("is of the format {format:?}; Rgba8Unorm, Bgra8Unorm and their sRGB forms are read"));
    }
    if !texture.usage().contains(wgpu::TextureUsages::COPY_SRC) {
        return wrong("was made without the usage COPY_SRC, by which it is read".into());
    }
    if texture.dimension() != wgpu::TextureDimension::D2 || texture.sample_count() != 1 {
        return wrong(format!("is {:?} with {} samples a pixel; a plain picture is needed", texture.dimension(), texture.sample_count()));
    }
    let fits = |from: u32, length: u32, has: u32| length > 0 && from.checked_add(length).is_some_and(|end| end <= has);
    if fits(x, width, has.width) && fits(y, height, has.height) {
        return Ok(());
    }
    wrong(format!("is {} x {}; {width} x {height} at column {x}, row {y} is no part of it", has.width, has.height))
}

impl Context {
    /// Whether an image may go through a buffer: whether the device lets a shader bind one so
    /// large.
    pub(crate) fn takes(&self, resize: &Problem) -> bool {
        words(resize) * 4 <= self.max_binding()
    }
}

/// Pixels that the crop needs.
fn words(resize: &Problem) -> u64 {
    resize.source_rows.len() as u64 * resize.source_columns.len() as u64
}

impl Resizer {
    /// For a plan that begins with `preprocess`, else `None`.
    pub(super) fn new(plan: &Plan, bind: impl Fn(&str) -> Option<(wgpu::Buffer, Range<u64>)>) -> Option<Self> {
        let dispatch = &plan.steps.first()?.dispatch;
        if dispatch.key.kernel != preprocess::KERNEL {
            return None;
        }
        let preprocess::Params { output_offset, output_stride, .. } = dispatch.params();
        Some(Self {
            batch: plan.batch(),
            f16: plan.precision.is_f16(),
            output: bind("output")?.0,
            place: Place { offset: output_offset, stride: output_stride },
            scale_shift: bind("scale_shift")?,
            words: None,
            texture: None,
            ready: Vec::new(),
        })
    }

    /// Takes the `n`-th image of a batch to the device, by commands in `encoder` or at once. Gives
    /// the dispatch that resizes it. If the image goes through `upload`, gives that too, made or
    /// made larger where need be.
    pub(super) async fn stage(
        &mut self,
        context: &Context,
        encoder: &mut wgpu::CommandEncoder,
        upload: &mut Option<wgpu::Buffer>,
        n: usize,
        image: &Image<'_>,
    ) -> Result<(&PreparedStep, Option<wgpu::Buffer>)> {
        let resize = &image.resize;
        let (rows, columns) = (&resize.source_rows, &resize.source_columns);
        let size = extent(columns.len(), rows.len());
        let row_bytes = columns.len() * 4;
        let bytes = words(resize) * 4;
        let texture = match image.source {
            Source::Buffer(_) => None,
            Source::OnDevice(source, _) => Some(self.texture(context, size, source.format().remove_srgb_suffix()).await?.clone()),
            _ => Some(self.texture(context, size, wgpu::TextureFormat::Rgba8Unorm).await?.clone()),
        };
        if texture.is_none() {
            self.make_words(context, bytes).await?;
            grow(context, upload, "upload", bytes, UPLOAD).await?;
        }
        let ready = self.ready(context, resize, texture.is_some()).await?;
        // With an `upload` nothing is awaited from here on: a run that is given up leaves it
        // mapped, or on its way to be.
        let mut used = None;
        match (image.source, &texture) {
            (Source::Buffer(pixels), _) => {
                let (upload, words) = upload.as_ref().zip(self.words.as_ref()).expect("made above");
                let mut view = upload.get_mapped_range_mut(..).map_err(|_| unreadable())?;
                each_row(pixels, resize, |at, row| view.slice(at * row_bytes..(at + 1) * row_bytes).copy_from_slice(row));
                drop(view);
                upload.unmap();
                encoder.copy_buffer_to_buffer(upload, 0, words, 0, bytes);
                used = Some(upload.clone());
            }
            (Source::Texture(pixels), Some(texture)) => {
                let mut bytes = Vec::new();
                each_row(pixels, resize, |_, row| bytes.extend(row));
                let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row_bytes as u32), rows_per_image: None };
                context.queue.write_texture(texture.as_image_copy(), &bytes, layout, size);
            }
            (Source::OnDevice(source, [x, y]), Some(texture)) => {
                let origin = wgpu::Origin3d { x: x + columns.start as u32, y: y + rows.start as u32, z: 0 };
                let from = wgpu::TexelCopyTextureInfo { origin, ..source.as_image_copy() };
                // Submitted alone, so that a texture of another device is an error here.
                let copy = || {
                    let mut encoder = context.encoder();
                    encoder.copy_texture_to_texture(from, texture.as_image_copy(), size);
                    context.queue.submit([encoder.finish()]);
                    Ok(())
                };
                checked(context, copy).await?;
            }
            #[cfg(target_arch = "wasm32")]
            (Source::External(source), Some(texture)) => {
                copy_external(context, source, [columns.start, rows.start], texture, [columns.len(), rows.len()])?;
            }
            (_, None) => unreachable!("made above"),
        }
        Ok((&self.ready[ready].steps[n], used))
    }

    /// Makes the buffer that images are read from, or makes it larger.
    async fn make_words(&mut self, context: &Context, bytes: u64) -> Result<()> {
        let limit = context.max_binding();
        if bytes > limit {
            return Err(Error::Limit { what: "image: bytes of one buffer".into(), needed: bytes, limit });
        }
        if grow(context, &mut self.words, "image", bytes, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST).await? {
            // These bind the one before.
            self.ready.retain(|ready| ready.texture);
        }
        Ok(())
    }

    /// The texture that images are read from, of at least this size and of this format. It has no
    /// sRGB suffix: networks are trained on values as they are stored.
    async fn texture(&mut self, context: &Context, size: wgpu::Extent3d, format: wgpu::TextureFormat) -> Result<&wgpu::Texture> {
        let limit = context.device.limits().max_texture_dimension_2d;
        let needed = size.width.max(size.height);
        if needed > limit {
            let what = "image: side of the texture that holds what the crop needs".into();
            return Err(Error::Limit { what, needed: needed.into(), limit: limit.into() });
        }
        let had = self.texture.as_ref().map_or(extent(0, 0), wgpu::Texture::size);
        let (width, height) = (size.width.max(had.width), size.height.max(had.height));
        let is_other = self.texture.as_ref().is_none_or(|texture| texture.format() != format);
        if is_other || width > had.width || height > had.height {
            let descriptor = wgpu::TextureDescriptor {
                label: Some("image"),
                size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format,
                // A browser draws into it to copy a canvas or a frame.
                usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST | wgpu::TextureUsages::RENDER_ATTACHMENT,
                view_formats: &[],
            };
            self.texture = Some(checked(context, || Ok(context.device.create_texture(&descriptor))).await?);
            // These bind the one before.
            self.ready.retain(|ready| !ready.texture);
        }
        Ok(self.texture.as_ref().expect("made above"))
    }

    /// The place in `self.ready` of what images of one size need, made if it is not there.
    async fn ready(&mut self, context: &Context, resize: &Arc<Problem>, texture: bool) -> Result<usize> {
        if let Some(at) = self.ready.iter().position(|ready| ready.texture == texture && Arc::ptr_eq(&ready.resize, resize)) {
            return Ok(at);
        }
        let device = &context.device;
        let offset = |n: usize| self.place.offset + n as u32 * self.place.stride;
        let dispatches: Vec<_> = (0..self.batch).map(|n| resize::dispatch(resize, self.f16, texture, offset(n))).collect();
        let pipeline = context.pipelines(&[dispatches[0].key.clone()]).await?.remove(0);
        let mut params = vec![0; ALIGNMENT as usize * self.batch];
        for (bytes, dispatch) in params.chunks_mut(ALIGNMENT as usize).zip(&dispatches) {
            bytes[..dispatch.params.len()].copy_from_slice(&dispatch.params);
        }
        let params = filled(context, "resize params", wgpu::BufferUsages::UNIFORM, &params)?;
        let table = filled(context, "resize table", wgpu::BufferUsages::STORAGE, bytemuck::cast_slice(&resize.table))?;
        let view = self.texture.as_ref().filter(|_| texture).map(|texture| texture.create_view(&wgpu::TextureViewDescriptor::default()));
        let entries: Vec<_> = pipeline
            .bindings
            .iter()
            .map(|binding| {
                let resource = match (binding.name.as_str(), &view, &self.words) {
                    ("source", Some(view), _) => wgpu::BindingResource::TextureView(view),
                    ("source", None, Some(words)) => words.as_entire_binding(),
                    ("table", ..) => table.as_entire_binding(),
                    ("scale_shift", ..) => {
                        let (buffer, range) = &self.scale_shift;
                        let size = wgpu::BufferSize::new(range.end - range.start);
                        wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset: range.start, size })
                    }
                    ("output", ..) => self.output.as_entire_binding(),
                    (name, ..) => unreachable!("resize.wgsl binds no `{name}`"),
                };
                wgpu::BindGroupEntry { binding: binding.index, resource }
            })
            .chain([wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &params,
                    offset: 0,
                    size: wgpu::BufferSize::new(ALIGNMENT),
                }),
            }])
            .collect();
        let bind_group =
            device.create_bind_group(&wgpu::BindGroupDescriptor { label: Some("resize"), layout: &pipeline.layout, entries: &entries });
        let steps = dispatches
            .iter()
            .enumerate()
            .map(|(n, dispatch)| PreparedStep {
                pipeline: pipeline.clone(),
                bind_group: bind_group.clone(),
                params_offset: (n as u64 * ALIGNMENT) as u32,
                grid: grid(dispatch.workgroups),
            })
            .collect();
        if self.ready.len() == MAX_READY {
            self.ready.remove(0);
        }
        self.ready.push(Ready { resize: resize.clone(), texture, steps });
        Ok(self.ready.len() - 1)
    }

    /// The network's input.
    pub(super) fn output(&self) -> &wgpu::Buffer {
        &self.output
    }
}

/// Copies the part of `source` at `origin` that has `size` to the texture's corner, both as (x, y).
/// wgpu does not do it, for it panics where the browser refuses.
#[cfg(target_arch = "wasm32")]
fn copy_external(
    context: &Context,
    source: &wasm_bindgen::JsValue,
    origin: [usize; 2],
    texture: &wgpu::Texture,
    size: [usize; 2],
) -> Result<()> {
    use js_sys::{Array, Number, Object, Reflect};
    use wasm_bindgen::{JsCast, JsValue};
    let pair = |[x, y]: [usize; 2]| [x, y].map(|value| Number::from(value as f64));
    let dictionary = |fields: &[(&str, &JsValue)]| {
        let object = Object::new();
        for (key, value) in fields {
            Reflect::set(&object, &JsValue::from(*key), value).expect("an object of ours takes any key");
        }
        object
    };
    let origin: Array = pair(origin).iter().collect();
    // Alpha is dropped, not blended: that is not to premultiply, as is the default.
    let from = dictionary(&[("source", source), ("origin", &origin)]);
    let (queue, texture) = context.queue.as_webgpu().zip(texture.as_webgpu()).expect("there is no other backend in a browser");
    let to = dictionary(&[("texture", texture)]);
    queue.copy_external_image_to_texture_with_u32_sequence(from.unchecked_ref(), to.unchecked_ref(), &pair(size)).map_err(|error| {
        let what = error.unchecked_ref::<js_sys::Error>().message();
        Error::Image { file: "image".into(), what: String::from(what) }
    })
}

fn extent(width: usize, height: usize) -> wgpu::Extent3d {
    wgpu::Extent3d { width: width as u32, height: height as u32, depth_or_array_layers: 1 }
}

/// Gives each row that the crop needs as RGBA8.
fn each_row(pixels: &dyn Rows, resize: &Problem, mut take: impl FnMut(usize, &[u8])) {
    let columns = &resize.source_columns;
    let (mut scratch, mut rgba) = (Vec::new(), vec![255; columns.len() * 4]);
    for (at, y) in resize.source_rows.clone().enumerate() {
        let row = pixels.row(y, columns.clone(), &mut scratch);
        for (to, from) in rgba.as_chunks_mut::<4>().0.iter_mut().zip(row.as_chunks::<3>().0) {
            to[..3].copy_from_slice(from);
        }
        take(at, &rgba);
    }
}
