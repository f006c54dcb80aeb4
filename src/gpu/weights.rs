//! Packed weights on the device.

use super::{
    buffers::{ALIGNMENT, unfilled},
    context::Context,
};
use crate::{
    Error, Result,
    plan::{ConstantKey, PackedConstant, Plan, Precision},
};
use std::{
    collections::BTreeMap,
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
    buffers: BTreeMap<(ConstantKey, Precision), (wgpu::Buffer, Range<u64>)>,
}

impl Uploaded {
    /// The buffer of a constant.
    pub(super) fn buffer(&self, plan: &Plan, constant: usize) -> (&wgpu::Buffer, Range<u64>) {
        let constant = &plan.constants[constant];
        let (buffer, range) = self.buffers.get(&(constant.key.clone(), plan.precision_of(constant))).expect("was uploaded");
        (buffer, range.clone())
    }
}

impl Weights {
    /// Uploads the constants that are not there yet, in as few buffers as the device's limits
    /// allow.
    pub(super) fn upload(&self, context: &Context, plan: &Plan) -> Result<MutexGuard<'_, Uploaded>> {
        let mut uploaded = self.uploaded.lock().unwrap_or_else(PoisonError::into_inner);
        let place = |c: &PackedConstant| (c.key.clone(), plan.precision_of(c));
        let missing: Vec<_> = plan.constants.iter().filter(|c| !uploaded.buffers.contains_key(&place(c))).collect();
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
                let mut view = buffer.get_mapped_range_mut(..).map_err(|e| unfilled(context, "weights", &e))?;
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
