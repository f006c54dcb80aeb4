//! A network that a page samples pictures for, and whose results it reads, on the device itself.

use super::{
    model::Model,
    part::{Request, Runner, RunnerKind},
};
use crate::{
    Error, Result, gpu,
    plan::{Placed, layout::Layout},
    tensor::Element,
};
use wasm_bindgen::JsValue;

/// A plan with its buffers.
pub(crate) struct Lent {
    runner: Runner,
}

impl Model {
    /// The plan for a picture of `lengths` as the only input, `[1, 3, h, w]` or `[1, h, w, 3]`;
    /// `None` where the network takes it otherwise than `shaders/sample.wgsl` writes it, and on the
    /// CPU.
    pub(crate) async fn lend(&self, lengths: &[usize]) -> Result<Option<Lent>> {
        let [own] = self.inner.results.graph.inputs() else { return Ok(None) };
        if own.tensor.element != Element::F32 || self.engine().gpu().is_none() {
            return Ok(None);
        }
        let shape = own.tensor.shape_of(lengths).map_err(|what| Error::shape(&own.name, what))?;
        let request = Request::of_tensors(vec![shape]);
        let (runner, _) = self.inner.results.runner(self.engine(), &request).await?;
        // What is transposed first may lie as one vector.
        if runner.plan.inputs[0].layout == Layout::plain(shape.c) && [shape.n, shape.c, shape.h, shape.w] == *lengths {
            return Ok(Some(Lent { runner }));
        }
        self.inner.results.keep(runner);
        Ok(None)
    }
}

impl Lent {
    fn prepared(&self) -> &gpu::Prepared {
        let RunnerKind::Gpu(prepared) = &self.runner.kind else { unreachable!("it is a device's") };
        prepared
    }

    /// The device.
    pub(crate) fn device(&self) -> JsValue {
        self.prepared().page_device()
    }

    /// Whether values are stored as halves.
    pub(crate) fn is_f16(&self) -> bool {
        self.runner.plan.precision.is_f16()
    }

    /// The buffer of the input.
    pub(crate) fn input(&self) -> JsValue {
        self.prepared().page_buffer(self.runner.plan.inputs[0].slot)
    }

    /// The results of floats, with their buffers.
    pub(crate) fn results(&self) -> impl Iterator<Item = (Placed, JsValue)> {
        let floats = self.runner.plan.outputs.iter().filter(|output| output.tensor.element == Element::F32);
        floats.map(|output| (output.placed(), self.prepared().page_buffer(output.slot)))
    }

    /// Submits the steps alone.
    pub(crate) fn submit(&self) {
        self.prepared().submit_steps();
    }
}
