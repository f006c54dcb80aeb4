//! Buffers: made, filled, and waited for.

use super::context::Context;
use crate::{
    Error, Result,
    wait::{apart, may_block},
};
use futures_channel::oneshot;
use std::sync::Arc;

/// Offsets of bindings are multiples of this: WebGPU's default
/// `min_storage_buffer_offset_alignment`, the largest it may be.
pub(super) const ALIGNMENT: u64 = 256;

/// What an upload buffer is for.
pub(super) const UPLOAD: wgpu::BufferUsages = wgpu::BufferUsages::MAP_WRITE.union(wgpu::BufferUsages::COPY_SRC);

/// Resolves once a buffer is mapped, or cannot be.
pub(super) type Mapping = oneshot::Receiver<Result<(), wgpu::BufferAsyncError>>;

/// Asks for a buffer to be mapped.
pub(super) fn map(buffer: &wgpu::Buffer, mode: wgpu::MapMode) -> Mapping {
    let (sender, receiver) = oneshot::channel();
    buffer.map_async(mode, .., move |result| {
        // The receiver is gone if the run was cancelled.
        let _ = sender.send(result);
    });
    receiver
}

/// Blocks until the device is done with a submission. In a browser it returns at once, and awaiting
/// a map does the waiting.
pub(super) fn wait_here(context: &Context, submission: &wgpu::SubmissionIndex) -> Result<()> {
    poll(context, wgpu::PollType::Wait { submission_index: Some(submission.clone()), timeout: None })
}

/// As [`wait_here`], but in a thread of the context's own, unless this one may block.
pub(super) async fn wait(context: &Arc<Context>, submission: &wgpu::SubmissionIndex) -> Result<()> {
    if may_block() {
        return wait_here(context, submission);
    }
    let (context, submission) = (context.clone(), submission.clone());
    apart(move || wait_here(&context, &submission)).await
}

/// Answers maps that are done; an error if the device is lost.
pub(super) fn poll(context: &Context, poll: wgpu::PollType) -> Result<()> {
    // wgpu panics where the driver tells that the device is lost, and answers no map then.
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| context.device.poll(poll)));
    context.check_lost()?;
    match result {
        Ok(Ok(_)) => Ok(()),
        _ => Err(unreadable()),
    }
}

pub(super) fn mapped(context: &Context, result: Result<Result<(), wgpu::BufferAsyncError>, oneshot::Canceled>) -> Result<()> {
    match result {
        Ok(Ok(())) => Ok(()),
        _ => {
            context.check_lost()?;
            Err(unreadable())
        }
    }
}

pub(super) fn unreadable() -> Error {
    Error::DeviceLost("a buffer could not be mapped".into())
}

/// What `make` makes on the device, or the device's error.
pub(super) async fn checked<T>(context: &Context, make: impl FnOnce() -> Result<T>) -> Result<T> {
    let device = &context.device;
    let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let made = make();
    // Both before anything is awaited: a scope is of one thread.
    let (invalid, full) = (validation.pop(), memory.pop());
    let (invalid, full) = (invalid.await, full.await);
    // Memory first: a buffer that could not be made is invalid for everything that uses it.
    match full.or(invalid) {
        Some(error) => {
            // A device that is lost has no memory either.
            context.check_lost()?;
            Err(error.into())
        }
        None => made,
    }
}

/// Makes a buffer, or a larger one in its place; whether it did.
pub(super) async fn grow(
    context: &Context,
    buffer: &mut Option<wgpu::Buffer>,
    label: &str,
    size: u64,
    usage: wgpu::BufferUsages,
) -> Result<bool> {
    if buffer.as_ref().is_some_and(|buffer| size <= buffer.size()) {
        return Ok(false);
    }
    let mapped_at_creation = usage.contains(wgpu::BufferUsages::MAP_WRITE);
    let descriptor = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation };
    *buffer = Some(checked(context, || Ok(context.device.create_buffer(&descriptor))).await?);
    Ok(true)
}

/// A buffer of these bytes.
pub(super) fn filled(context: &Context, label: &str, usage: wgpu::BufferUsages, bytes: &[u8]) -> Result<wgpu::Buffer> {
    let descriptor = wgpu::BufferDescriptor { label: Some(label), size: bytes.len() as u64, usage, mapped_at_creation: true };
    let buffer = context.device.create_buffer(&descriptor);
    buffer.get_mapped_range_mut(..).map_err(|e| unfilled(context, label, &e))?.copy_from_slice(bytes);
    buffer.unmap();
    Ok(buffer)
}

/// Why a buffer that was made cannot be filled: a device that is lost has no memory either.
pub(super) fn unfilled(context: &Context, label: &str, error: &dyn std::fmt::Display) -> Error {
    context.check_lost().err().unwrap_or_else(|| Error::OutOfMemory(format!("{label}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{gpu::weights::Weights, plan::Form};

    #[test]
    fn a_device_that_is_lost_in_an_upload_is_not_out_of_memory() {
        let Some(context) = Context::for_tests(&Default::default()) else { return };
        let usage = wgpu::BufferUsages::UNIFORM;
        assert!(filled(&context, "sound", usage, &[0; 64]).is_ok());
        context.destroy();
        assert!(matches!(filled(&context, "lost", usage, &[0; 64]), Err(Error::DeviceLost(_))));
        let engine = crate::Engine::new(crate::EngineOptions::default().backend(crate::Backend::Cpu)).unwrap();
        let plan = engine.load(crate::Network::embedded().unwrap()).unwrap().plan(1, 32, 32, Form::Tensors).unwrap();
        assert!(matches!(Weights::default().upload(&context, &plan).map(drop), Err(Error::DeviceLost(_))));
        let made = pollster::block_on(checked(&context, || filled(&context, "lost", usage, &[0; 64]).map(drop)));
        assert!(matches!(made, Err(Error::DeviceLost(_))));
    }
}
