//! One dispatch with all it needs on the device.

use super::{buffers::ALIGNMENT, pipelines::Pipeline};
use std::sync::Arc;

impl Pipeline {
    /// Binds what `of` gives of each of the shader's variables, and parameters of one dispatch, at
    /// an offset in `params` that is set with each.
    pub(super) fn bind<'a>(
        &self,
        label: &str,
        device: &wgpu::Device,
        params: &'a wgpu::Buffer,
        of: impl Fn(&str) -> wgpu::BindingResource<'a>,
    ) -> wgpu::BindGroup {
        let size = wgpu::BufferSize::new(ALIGNMENT);
        let params = wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: params, offset: 0, size });
        let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: params }];
        entries.extend(self.bindings.iter().map(|binding| wgpu::BindGroupEntry { binding: binding.index, resource: of(&binding.name) }));
        device.create_bind_group(&wgpu::BindGroupDescriptor { label: Some(label), layout: &self.layout, entries: &entries })
    }
}

/// A pipeline with its bindings, and how many workgroups of it run.
pub(super) struct PreparedStep {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) bind_group: wgpu::BindGroup,
    pub(super) params_offset: u32,
    pub(super) grid: [u32; 3],
}

impl PreparedStep {
    pub(super) fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[self.params_offset]);
        pass.dispatch_workgroups(self.grid[0], self.grid[1], self.grid[2]);
    }
}

/// One compute pass of all steps.
pub(super) fn encode<'a>(encoder: &mut wgpu::CommandEncoder, steps: impl IntoIterator<Item = &'a PreparedStep>) {
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: Some("run"), timestamp_writes: None });
    for step in steps {
        step.encode(&mut pass);
    }
}
