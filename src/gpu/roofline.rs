//! What the GPU can do at most, measured: multiply-adds from registers, and bytes copied from
//! buffer to buffer.

use super::{buffers::filled, context::Context, pipelines::compile_source};
use crate::{
    Error, Result,
    device::{Bandwidth, MOST_REPEATS, Roofline, next_repeats},
    shader::{self, shader_text},
};
use std::sync::Arc;

/// The two shaders: stem and template.
const SHADERS: [(&str, &str); 2] =
    [("roofline_multiply_add", shader_text!("roofline_multiply_add.wgsl")), ("roofline_copy", shader_text!("roofline_copy.wgsl"))];

/// Invocations of both shaders' workgroups.
const WORKGROUP: u32 = 64;
/// Multiply-adds of an invocation in a round of `roofline_multiply_add`.
const MULTIPLY_ADDS: u64 = 16 * 4;

/// The composed shaders: file name and WGSL.
pub fn shaders() -> Vec<(String, String)> {
    let source = |(stem, template): (&str, &'static str)| {
        let composed = shader::compose(template, &[]).unwrap_or_else(|error| panic!("{stem} does not compose: {error}"));
        (format!("{stem}.wgsl"), composed)
    };
    SHADERS.into_iter().map(source).collect()
}

struct Run {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    workgroups: u32,
}

/// Measures the roof: the best of `rounds` passes of about `pass_ms` milliseconds each.
pub async fn measure(context: &Arc<Context>, pass_ms: f64, rounds: usize) -> Result<Roofline> {
    let [multiply_add, copy] = &shaders()[..] else { unreachable!("two shaders") };
    // Enough invocations to fill any GPU; a wide one needs some ten thousand.
    let (invocations, inner) = (256 * 1024, 256u32);
    let output = storage(context, u64::from(invocations) * 16);
    // Values stay near 1: a multiply by less, an add of the rest.
    let params = [inner, 0.999f32.to_bits(), 0.001f32.to_bits()];
    let run = prepare(context, multiply_add, &params, &[&output], invocations / WORKGROUP).await?;
    let ms = best(context, &run, pass_ms, rounds).await?;
    let gflops = 2.0 * (u64::from(invocations) * u64::from(inner) * MULTIPLY_ADDS) as f64 / ms / 1e6;

    let mut copies = Vec::new();
    for bytes in [256 << 10, 1 << 20, 4 << 20, 32 << 20u64] {
        let bytes = bytes.min(context.max_binding());
        let blocks = (bytes / 16) as u32;
        let run = {
            let (from, to) = (storage(context, bytes), storage(context, bytes));
            prepare(context, copy, &[blocks], &[&from, &to], blocks.div_ceil(WORKGROUP)).await?
        };
        let ms = best(context, &run, pass_ms, rounds).await?;
        copies.push(Bandwidth { bytes: 2 * bytes, gb_per_s: 2.0 * bytes as f64 / ms / 1e6 });
    }
    Ok(Roofline { gflops, copies })
}

fn storage(context: &Context, size: u64) -> wgpu::Buffer {
    let usage = wgpu::BufferUsages::STORAGE;
    context.device.create_buffer(&wgpu::BufferDescriptor { label: Some("roofline"), size, usage, mapped_at_creation: false })
}

async fn prepare(
    context: &Context,
    (name, source): &(String, String),
    params: &[u32],
    buffers: &[&wgpu::Buffer],
    workgroups: u32,
) -> Result<Run> {
    let device = &context.device;
    let compiled = compile_source(device, None, name, source.clone()).await?;
    let mut bytes = bytemuck::cast_slice(params).to_vec();
    bytes.resize(bytes.len().next_multiple_of(16), 0);
    let uniform = filled(context, name, wgpu::BufferUsages::UNIFORM, &bytes)?;
    let size = wgpu::BufferSize::new(bytes.len() as u64);
    let params = wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: &uniform, offset: 0, size });
    let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: params }];
    entries.extend(
        compiled
            .bindings
            .iter()
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding: binding.index, resource: buffer.as_entire_binding() }),
    );
    let scope = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let bind_group =
        device.create_bind_group(&wgpu::BindGroupDescriptor { label: Some(name), layout: &compiled.layout, entries: &entries });
    match scope.pop().await {
        Some(error) => Err(Error::from(error)),
        None => Ok(Run { pipeline: compiled.pipeline, bind_group, workgroups }),
    }
}

/// Milliseconds of one dispatch at best: what disturbs a measurement only makes it longer.
async fn best(context: &Context, run: &Run, pass_ms: f64, rounds: usize) -> Result<f64> {
    let mut repeats = 1;
    loop {
        let encode = |pass: &mut wgpu::ComputePass<'_>| {
            pass.set_pipeline(&run.pipeline);
            pass.set_bind_group(0, &run.bind_group, &[0]);
            for _ in 0..repeats {
                pass.dispatch_workgroups(run.workgroups, 1, 1);
            }
        };
        // The first pass warms up and says how many repetitions a pass holds.
        let ms = context.time_pass(1, &encode).await?[0];
        if ms < pass_ms / 2.0 && repeats < MOST_REPEATS {
            repeats = next_repeats(repeats, ms, pass_ms);
            continue;
        }
        let times = context.time_pass(rounds.max(1), &encode).await?;
        return Ok(times.into_iter().fold(ms, f64::min) / repeats as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shaders_are_valid() {
        for (name, source) in shaders() {
            let module = naga::front::wgsl::parse_str(&source).unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(&source)));
            let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty());
            validator.validate(&module).unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(&source)));
            assert_eq!(module.entry_points[0].workgroup_size, [WORKGROUP, 1, 1], "{name}");
        }
    }
}
