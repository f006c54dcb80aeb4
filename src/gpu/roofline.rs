//! What the device can do at most, measured: multiply-adds from registers, and bytes copied from
//! buffer to buffer.
//!
//! A layer whose every multiply-add and byte cost only that would lie on this roof (Williams,
//! Waterman, Patterson, CACM 2009).

use super::{buffers::filled, context::Context, pipelines::compile_source};
use crate::{
    Error, Result,
    shader::{self, shader_text},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// The two shaders: stem and template.
const SHADERS: [(&str, &str); 2] =
    [("roofline_multiply_add", shader_text!("roofline_multiply_add.wgsl")), ("roofline_copy", shader_text!("roofline_copy.wgsl"))];

/// Invocations of both shaders' workgroups.
const WORKGROUP: u32 = 64;
/// Multiply-adds of an invocation in a round of `roofline_multiply_add`.
const MULTIPLY_ADDS: u64 = 16 * 4;

/// The roof.
#[derive(Debug, Clone, PartialEq)]
pub struct Roofline {
    /// Billions of operations a second, a multiply-add being two.
    pub gflops: f64,
    /// Copying buffers of a few sizes: the largest lies in the device's memory, smaller ones
    /// perhaps in a cache.
    pub copies: Vec<Bandwidth>,
}

/// What a copy showed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bandwidth {
    /// Bytes of both buffers.
    pub bytes: u64,
    /// Billions of bytes a second, read and written.
    pub gb_per_s: f64,
}

impl Roofline {
    /// The bandwidth for a layer that touches `bytes`: of the smallest copy that touched no less,
    /// or of the largest. A smaller copy that was slower than a larger one was bound by its launch.
    pub fn gb_per_s(&self, bytes: u64) -> f64 {
        let fits = |c: &&Bandwidth| c.bytes >= bytes || self.copies.iter().all(|other| other.bytes <= c.bytes);
        self.copies.iter().filter(fits).map(|c| c.gb_per_s).fold(0.0, f64::max)
    }

    /// What the benches' JSON says of it.
    pub fn json(&self) -> Value {
        let copies: Value = self.copies.iter().map(|c| json!({ "bytes": c.bytes, "gb_per_s": c.gb_per_s })).collect();
        json!({ "gflops": self.gflops, "copies": copies })
    }

    /// Milliseconds that `macs` multiply-adds and `bytes` read and written take at least.
    pub fn least_ms(&self, macs: u64, bytes: u64) -> f64 {
        (2.0 * macs as f64 / self.gflops).max(bytes as f64 / self.gb_per_s(bytes)) / 1e6
    }
}

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

/// Dispatches in one pass at most, for what takes no time at all.
pub const MOST_REPEATS: usize = 20_000;

/// How often to repeat what took `ms` milliseconds at `repeats` repetitions, to take `pass_ms`. It
/// grows in steps, for the first passes are slow.
pub fn next_repeats(repeats: usize, ms: f64, pass_ms: f64) -> usize {
    let factor = if ms > 0.0 { (pass_ms / ms).clamp(1.0, 16.0) } else { 16.0 };
    ((repeats as f64 * factor).ceil() as usize).clamp(repeats + 1, MOST_REPEATS)
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

    #[test]
    fn the_roof_is_that_of_the_memory_that_holds_the_layer() {
        let copies = [(100, 40.0), (1000, 50.0), (10_000, 10.0)].map(|(bytes, gb_per_s)| Bandwidth { bytes, gb_per_s }).into();
        let roof = Roofline { gflops: 100.0, copies };
        assert_eq!([1, 100, 101, 1000, 1001, 20_000].map(|b| roof.gb_per_s(b)), [50.0, 50.0, 50.0, 50.0, 10.0, 10.0]);
        assert_eq!(roof.least_ms(0, 10_000_000), 1.0);
        assert_eq!(roof.least_ms(50_000_000, 100), 1.0);
    }
}
