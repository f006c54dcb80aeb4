//! Where pictures are on a device before it resizes or samples them.

use super::{
    buffers::{checked, grow, unreadable},
    context::Context,
    info::Source,
};
use crate::{Error, Result, kernels::resize::Rows};
use std::ops::Range;

/// What pictures are read from; both as large as the largest so far.
#[derive(Default)]
pub(super) struct Pictures {
    words: Option<wgpu::Buffer>,
    texture: Option<wgpu::Texture>,
}

/// A part of a picture.
pub(super) struct Part<'a> {
    pub(super) source: Source<'a>,
    pub(super) rows: &'a Range<usize>,
    pub(super) columns: &'a Range<usize>,
}

impl Part<'_> {
    /// Whether it goes through a texture; else through a buffer of words.
    pub(super) fn by_texture(&self) -> bool {
        !matches!(self.source, Source::Buffer(_))
    }

    /// Gives each row as RGBA8.
    fn each_row(&self, pixels: &dyn Rows, mut take: impl FnMut(usize, &[u8])) {
        let (mut scratch, mut rgba) = (Vec::new(), vec![255; self.columns.len() * 4]);
        for (at, y) in self.rows.clone().enumerate() {
            let row = pixels.row(y, self.columns.clone(), &mut scratch);
            for (to, from) in rgba.as_chunks_mut::<4>().0.iter_mut().zip(row.as_chunks::<3>().0) {
                to[..3].copy_from_slice(from);
            }
            take(at, &rgba);
        }
    }

    /// Bytes of an upload: nothing where it goes through a texture.
    pub(super) fn upload_bytes(&self) -> u64 {
        if self.by_texture() { 0 } else { word_bytes(self.rows, self.columns) }
    }
}

/// Bytes of a part of a picture as words.
pub(super) fn word_bytes(rows: &Range<usize>, columns: &Range<usize>) -> u64 {
    rows.len() as u64 * columns.len() as u64 * 4
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

impl Pictures {
    /// Makes room for a part of a picture; whether what was bound before is gone.
    pub(super) async fn make_room(&mut self, context: &Context, part: &Part<'_>) -> Result<bool> {
        let format = match part.source {
            Source::Buffer(_) => {
                let (needed, limit) = (word_bytes(part.rows, part.columns), context.max_binding());
                if needed > limit {
                    return Err(Error::Limit { what: "image: bytes of one buffer".into(), needed, limit });
                }
                return grow(context, &mut self.words, "image", needed, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST).await;
            }
            // It has no sRGB suffix: networks are trained on values as they are stored.
            Source::OnDevice(source, _) => source.format().remove_srgb_suffix(),
            _ => wgpu::TextureFormat::Rgba8Unorm,
        };
        let limit = context.device.limits().max_texture_dimension_2d;
        let size = extent(part.columns.len(), part.rows.len());
        let needed = size.width.max(size.height);
        if needed > limit {
            let what = "image: side of the texture that holds what the input needs".into();
            return Err(Error::Limit { what, needed: needed.into(), limit: limit.into() });
        }
        let had = self.texture.as_ref().map_or(extent(0, 0), wgpu::Texture::size);
        let (width, height) = (size.width.max(had.width), size.height.max(had.height));
        let is_other = self.texture.as_ref().is_none_or(|texture| texture.format() != format);
        if !is_other && width <= had.width && height <= had.height {
            return Ok(false);
        }
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
        Ok(true)
    }

    #[cfg(test)]
    pub(super) fn words(&self) -> Option<&wgpu::Buffer> {
        self.words.as_ref()
    }

    /// What a shader's `source` is bound to, once there is room.
    pub(super) fn bound<T>(&self, by_texture: bool, take: impl FnOnce(wgpu::BindingResource<'_>) -> T) -> T {
        match (by_texture, &self.words, &self.texture) {
            (false, Some(words), _) => take(words.as_entire_binding()),
            (true, _, Some(texture)) => take(wgpu::BindingResource::TextureView(&texture.create_view(&Default::default()))),
            _ => unreachable!("there is room"),
        }
    }

    /// Takes it there, at once or by commands in `encoder`. What goes through a buffer is written
    /// to a mapped `upload`, from a byte on, and nothing is awaited then.
    pub(super) async fn take(
        &self,
        context: &Context,
        encoder: &mut wgpu::CommandEncoder,
        upload: Option<(&wgpu::Buffer, u64)>,
        part: &Part<'_>,
    ) -> Result<()> {
        let Part { source, rows, columns } = part;
        let size = extent(columns.len(), rows.len());
        let row_bytes = columns.len() * 4;
        match (*source, upload, &self.words, &self.texture) {
            (Source::Buffer(pixels), Some((upload, first)), Some(words), _) => {
                let bytes = part.upload_bytes();
                let mut view = upload.get_mapped_range_mut(first..first + bytes).map_err(|_| unreadable())?;
                part.each_row(pixels, |at, row| view.slice(at * row_bytes..(at + 1) * row_bytes).copy_from_slice(row));
                encoder.copy_buffer_to_buffer(upload, first, words, 0, bytes);
            }
            (Source::Texture(pixels), _, _, Some(texture)) => {
                let mut bytes = Vec::new();
                part.each_row(pixels, |_, row| bytes.extend(row));
                let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row_bytes as u32), rows_per_image: None };
                context.queue.write_texture(texture.as_image_copy(), &bytes, layout, size);
            }
            (Source::OnDevice(source, [x, y]), _, _, Some(texture)) => {
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
            (Source::External(source), _, _, Some(texture)) => {
                copy_external(context, source, [columns.start, rows.start], texture, [columns.len(), rows.len()])?;
            }
            _ => unreachable!("there is room"),
        }
        Ok(())
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
