//! What a page is lent of a plan, to work on the device itself in front of it and behind it.

use super::{prepared::Prepared, step::encode};
use wasm_bindgen::JsValue;

const NO_OTHER: &str = "there is no other backend in a browser";

impl Prepared {
    /// The device, as the browser has it.
    pub fn page_device(&self) -> JsValue {
        self.context.device.as_webgpu().expect(NO_OTHER).into()
    }

    /// The buffer of a slot, as the browser has it.
    pub fn page_buffer(&self, slot: usize) -> JsValue {
        self.slots[slot].as_webgpu().expect(NO_OTHER).into()
    }

    /// Submits the plan's steps alone.
    pub fn submit_steps(&self) {
        let mut encoder = self.context.encoder();
        encode(&mut encoder, &self.steps);
        self.context.queue.submit([encoder.finish()]);
    }
}
