//! Windows of a picture that the device samples itself, in front of a plan's steps.

use super::{
    buffers::{ALIGNMENT, UPLOAD, grow, unreadable},
    context::Context,
    info::Windows,
    pictures::{Part, Pictures, word_bytes},
    pipelines::Pipeline,
    step::PreparedStep,
};
use crate::{
    Result,
    kernels::sample::{Held, Problem},
    plan::{Dispatch, PipelineKey, grid, padded},
};
use std::sync::Arc;

/// What the dispatches in front of a plan's steps need; the buffers as large as the largest so far.
#[derive(Default)]
pub(super) struct Sampler {
    pictures: Pictures,
    params: Option<wgpu::Buffer>,
    table: Option<wgpu::Buffer>,
    /// With the picture in a buffer, and in a texture.
    ready: [Option<Ready>; 2],
}

struct Ready {
    key: PipelineKey,
    pipeline: Arc<Pipeline>,
    bind_group: wgpu::BindGroup,
}

impl Context {
    /// Whether what windows need of a picture may go through a buffer.
    pub(crate) fn takes_windows(&self, sample: &Problem) -> bool {
        word_bytes(&sample.source_rows, &sample.source_columns) <= self.max_binding()
    }
}

impl Sampler {
    /// Takes what windows need to the device, by commands in `encoder` or at once; gives the
    /// dispatch of each window, which writes `input`. All goes through `upload`, made or made
    /// larger where need be. It begins with `head`, of at most [`ALIGNMENT`] bytes, and is no
    /// longer mapped in the end.
    pub(super) async fn stage(
        &mut self,
        context: &Context,
        encoder: &mut wgpu::CommandEncoder,
        upload: &mut Option<wgpu::Buffer>,
        head: &[u8],
        windows: &Windows<'_>,
        (input, f16): (&wgpu::Buffer, bool),
    ) -> Result<Vec<PreparedStep>> {
        let sample = windows.sample;
        let part = Part { source: windows.source, rows: &sample.source_rows, columns: &sample.source_columns };
        let table_bytes = size_of_val(&sample.taps[..]) as u64;
        let params_end = ALIGNMENT * (1 + sample.windows() as u64);
        let head_end = (params_end + table_bytes).next_multiple_of(ALIGNMENT);
        let by_texture = part.by_texture();
        if self.pictures.make_room(context, &part).await? {
            // It binds what was there before.
            self.ready[usize::from(by_texture)] = None;
        }
        let to = wgpu::BufferUsages::COPY_DST;
        // What binds a buffer that was made anew goes at once: the next one may not come about.
        if grow(context, &mut self.params, "sample params", params_end - ALIGNMENT, wgpu::BufferUsages::UNIFORM | to).await? {
            self.ready = [None, None];
        }
        if grow(context, &mut self.table, "sample table", table_bytes, wgpu::BufferUsages::STORAGE | to).await? {
            self.ready = [None, None];
        }
        grow(context, upload, "upload", head_end + part.upload_bytes(), UPLOAD).await?;
        let (Some(upload), Some(params), Some(table)) = (upload, &self.params, &self.table) else { unreachable!("made above") };

        let held = if by_texture { Held::Texture } else { Held::Words };
        let key = sample.key(f16, held);
        let ready = &mut self.ready[usize::from(by_texture)];
        let (pipeline, bind_group) = match ready {
            Some(ready) if ready.key == key => (&ready.pipeline, &ready.bind_group),
            _ => {
                let pipeline = context.pipelines(std::slice::from_ref(&key)).await?.remove(0);
                let bind_group = self.pictures.bound(by_texture, |source| {
                    pipeline.bind("sample", &context.device, params, |name| match name {
                        "source" => source.clone(),
                        "table" => table.as_entire_binding(),
                        "output" => input.as_entire_binding(),
                        name => unreachable!("sample.wgsl binds no `{name}`"),
                    })
                });
                let ready = ready.insert(Ready { key, pipeline, bind_group });
                (&ready.pipeline, &ready.bind_group)
            }
        };
        self.pictures.take(context, encoder, Some((upload, head_end)), &part).await?;
        // Nothing is awaited from here on: a run that is given up leaves the upload mapped, or on
        // its way to be.
        let dispatches: Vec<_> = (0..sample.windows()).map(|window| sample.dispatch(window, f16, held)).collect();
        let mut view = upload.get_mapped_range_mut(..head_end).map_err(|_| unreadable())?;
        view.slice(..head.len()).copy_from_slice(head);
        view.slice(ALIGNMENT as usize..params_end as usize).copy_from_slice(&padded(dispatches.iter(), ALIGNMENT));
        view.slice(params_end as usize..(params_end + table_bytes) as usize).copy_from_slice(bytemuck::cast_slice(&sample.taps));
        drop(view);
        upload.unmap();
        encoder.copy_buffer_to_buffer(upload, ALIGNMENT, params, 0, params_end - ALIGNMENT);
        encoder.copy_buffer_to_buffer(upload, params_end, table, 0, table_bytes);
        let step = |(at, dispatch): (usize, &Dispatch)| PreparedStep {
            pipeline: pipeline.clone(),
            bind_group: bind_group.clone(),
            params_offset: (at as u64 * ALIGNMENT) as u32,
            grid: grid(dispatch.workgroups),
        };
        Ok(dispatches.iter().enumerate().map(step).collect())
    }

    /// What it has made.
    #[cfg(test)]
    pub(super) fn buffers(&self) -> Vec<Option<wgpu::Buffer>> {
        vec![self.params.clone(), self.table.clone(), self.pictures.words().cloned()]
    }
}
