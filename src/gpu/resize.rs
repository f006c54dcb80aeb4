//! Images that the device resizes itself, in front of a plan's steps.

use super::{
    buffers::{ALIGNMENT, UPLOAD, filled, grow},
    context::Context,
    info::Image,
    pictures::{Part, Pictures, word_bytes},
    step::PreparedStep,
};
use crate::{
    Result,
    kernels::{
        preprocess,
        resize::{self, Problem},
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
    pictures: Pictures,
    /// The newest last.
    ready: Vec<Ready>,
}

/// The dispatch for images of one size: one for each place in the batch.
struct Ready {
    resize: Arc<Problem>,
    texture: bool,
    steps: Vec<PreparedStep>,
}

impl Context {
    /// Whether an image may go through a buffer: whether the device lets a shader bind one so
    /// large.
    pub(crate) fn takes(&self, resize: &Problem) -> bool {
        word_bytes(&resize.source_rows, &resize.source_columns) <= self.max_binding()
    }
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
            pictures: Pictures::default(),
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
        let part = Part { source: image.source, rows: &resize.source_rows, columns: &resize.source_columns };
        let by_texture = part.by_texture();
        if self.pictures.make_room(context, &part).await? {
            // These bind what was there before.
            self.ready.retain(|ready| ready.texture != by_texture);
        }
        if !by_texture {
            grow(context, upload, "upload", part.upload_bytes(), UPLOAD).await?;
        }
        let ready = self.ready(context, resize, by_texture).await?;
        // With an `upload` nothing is awaited from here on: a run that is given up leaves it
        // mapped, or on its way to be.
        let used = upload.clone().filter(|_| !by_texture);
        self.pictures.take(context, encoder, used.as_ref().map(|upload| (upload, 0)), &part).await?;
        if let Some(upload) = &used {
            upload.unmap();
        }
        Ok((&self.ready[ready].steps[n], used))
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
        let bind_group = self.pictures.bound(texture, |source| {
            pipeline.bind("resize", device, &params, |name| match name {
                "source" => source.clone(),
                "table" => table.as_entire_binding(),
                "scale_shift" => {
                    let (buffer, range) = &self.scale_shift;
                    let size = wgpu::BufferSize::new(range.end - range.start);
                    wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset: range.start, size })
                }
                "output" => self.output.as_entire_binding(),
                name => unreachable!("resize.wgsl binds no `{name}`"),
            })
        });
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
