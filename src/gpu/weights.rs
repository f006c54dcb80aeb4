//! Packed weights on the device.

use super::{Context, prepared::ALIGNMENT};
use crate::{
    Error, Result,
    plan::{ConstantKey, PackedConstant, Plan, Precision},
    small_map::SmallMap,
};
use std::{
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Packed weights on the device, shared by all plans of one graph.
#[derive(Debug, Default)]
pub struct Weights {
    uploaded: Mutex<Uploaded>,
}

/// Where constants are.
#[derive(Debug, Default)]
pub(super) struct Uploaded {
    buffers: SmallMap<(ConstantKey, Precision), (wgpu::Buffer, Range<u64>)>,
    // In no browser: see `DeviceClass::weights_are_textures`.
    #[cfg(not(target_arch = "wasm32"))]
    textures: SmallMap<ConstantKey, wgpu::TextureView>,
}

impl Uploaded {
    /// The buffer of a constant that some step of the plan binds as one.
    pub(super) fn buffer(&self, plan: &Plan, constant: usize) -> (&wgpu::Buffer, Range<u64>) {
        let constant = &plan.constants[constant];
        let (buffer, range) = self.buffers.get(&(constant.key.clone(), plan.precision_of(constant))).expect("was uploaded");
        (buffer, range.clone())
    }

    /// The texture of a constant that some step of the plan binds as one.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn texture(&self, plan: &Plan, constant: usize) -> &wgpu::TextureView {
        self.textures.get(&plan.constants[constant].key).expect("was uploaded")
    }
}

impl Weights {
    /// Forgets textures: some may have found no room, and only the device's queue knows which.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn forget_textures(&self) {
        self.uploaded.lock().unwrap_or_else(PoisonError::into_inner).textures = SmallMap::new();
    }

    /// Uploads the constants that are not there yet, in as few buffers as the device's limits allow, or where steps want them so as textures.
    pub(super) fn upload(&self, context: &Context, plan: &Plan) -> Result<MutexGuard<'_, Uploaded>> {
        let mut uploaded = self.uploaded.lock().unwrap_or_else(PoisonError::into_inner);
        #[cfg(not(target_arch = "wasm32"))]
        for (_, constant) in plan.constants.iter().enumerate().filter(|(at, _)| plan.in_texture(*at)) {
            if uploaded.textures.get(&constant.key).is_none() {
                uploaded.textures.insert(constant.key.clone(), texture(context, &constant.data));
            }
        }
        let place = |c: &PackedConstant| (c.key.clone(), plan.precision_of(c));
        let in_buffers = plan.constants.iter().enumerate().filter(|(at, _)| !plan.in_texture(*at)).map(|(_, constant)| constant);
        let missing: Vec<_> = in_buffers.filter(|c| uploaded.buffers.get(&place(c)).is_none()).collect();
        let limit = context.max_binding();
        let mut start = 0;
        while start < missing.len() {
            let mut offsets = Vec::new();
            let mut size = 0;
            for constant in &missing[start..] {
                // A kernel's largest element is 16 bytes, so no binding is smaller.
                let bytes = ((constant.data.len() * plan.element_bytes(constant)) as u64).next_multiple_of(16).max(16);
                if bytes > limit {
                    return Err(Error::Limit {
                        what: format!("constant `{}`: bytes of one buffer", constant.key.role),
                        needed: bytes,
                        limit,
                    });
                }
                if size + bytes > limit {
                    break;
                }
                offsets.push(size..size + bytes);
                size = (size + bytes).next_multiple_of(ALIGNMENT);
            }
            let buffer = context.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("weights"),
                size,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: true,
            });
            {
                let mut view = buffer.get_mapped_range_mut(..).map_err(|e| Error::OutOfMemory(format!("weights: {e}")))?;
                for (constant, range) in missing[start..].iter().zip(&offsets) {
                    let bytes = plan.precision_of(constant).to_bytes(&constant.data);
                    view.slice(range.start as usize..range.start as usize + bytes.len()).copy_from_slice(&bytes);
                }
            }
            buffer.unmap();
            for (constant, range) in missing[start..].iter().zip(&offsets) {
                uploaded.buffers.insert(place(constant), (buffer.clone(), range.clone()));
            }
            start += offsets.len();
        }
        Ok(uploaded)
    }
}

/// Rows of four values as the texels of a texture, as `shaders/shared/weight.wgsl` reads them.
#[cfg(not(target_arch = "wasm32"))]
fn texture(context: &Context, values: &[f32]) -> wgpu::TextureView {
    use crate::plan::TEXTURE_WIDTH;
    let row = TEXTURE_WIDTH * 4;
    let size = wgpu::Extent3d { width: TEXTURE_WIDTH as u32, height: values.len().div_ceil(row).max(1) as u32, depth_or_array_layers: 1 };
    let texture = context.device.create_texture(&wgpu::TextureDescriptor {
        label: Some("weights"),
        size,
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: wgpu::TextureFormat::Rgba32Float,
        usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
        view_formats: &[],
    });
    let mut texels = values.to_vec();
    texels.resize(size.height as usize * row, 0.0);
    let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row as u32 * 4), rows_per_image: None };
    context.queue.write_texture(texture.as_image_copy(), bytemuck::cast_slice(&texels), layout, size);
    texture.create_view(&wgpu::TextureViewDescriptor::default())
}
