// Every kernel's shaders as real GPUs get them, before Chromium's own checks: its compiler of WGSL,
// limits, and layouts of bindings. Nothing is run.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, site } from './browser.mjs';

let browser, web, page, kernels;
before(async () => {
  browser = await launch();
  web = await site(browser);
  page = await web.open();
  kernels = await page.evaluate(async () => {
    window.bench = await import('/bench.js');
    // What no error scope holds.
    window.uncaptured = [];
    window.pipelines = 0;
    const { requestDevice } = GPUAdapter.prototype;
    GPUAdapter.prototype.requestDevice = async function (...options) {
      const device = await requestDevice.apply(this, options);
      device.addEventListener('uncapturederror', ({ error }) => uncaptured.push(error.message));
      for (const name of ['createComputePipeline', 'createComputePipelineAsync']) {
        const create = device[name];
        device[name] = (...values) => {
          pipelines += 1;
          return create.apply(device, values);
        };
      }
      return device;
    };
    return (await bench.kernels()).map(({ name }) => name);
  });
});
after(async () => {
  await browser.close();
  await web.close();
});

for (const precision of ['f32', 'f16']) {
  test(`every case of every kernel, ${precision}`, { timeout: 600_000 }, async () => {
    assert.ok(kernels.includes('ghost') && kernels.includes('separable'));
    for (const kernel of kernels) {
      const found = await page.evaluate(async ([kernel, precision]) => {
        pipelines = 0;
        try {
          return { cases: await bench.prepareKernel(kernel, precision), pipelines, uncaptured };
        } catch ({ message }) {
          return { message, pipelines, uncaptured };
        }
      }, [kernel, precision]);
      assert.deepEqual([found.message, found.uncaptured], [undefined, []], kernel);
      assert.ok(found.cases > 0 && found.pipelines > 0, `${kernel}: ${JSON.stringify(found)}`);
    }
  });
}

test('what Chromium refuses fails', async () => {
  const message = await page.evaluate(async () => {
    const { createShaderModule } = GPUDevice.prototype;
    GPUDevice.prototype.createShaderModule = function (module) {
      return createShaderModule.call(this, { ...module, code: module.code.replace('fn main', 'fn other') });
    };
    const message = await bench.prepareKernel('ghost', 'f32').then(() => 'prepared', ({ message }) => message);
    GPUDevice.prototype.createShaderModule = createShaderModule;
    return message;
  });
  assert.match(message, /main/);
});
