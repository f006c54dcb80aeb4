// Pictures and results of a network with a card on the GPU that runs it: windows of the picture are
// sampled in front of the network, and candidates found behind it, all in one submission. Fetched
// for networks that have a card and a GPU.

import { drawable, drawnPixels, isPixels, kind, pixels, readable } from './pictures.js';

/** Bytes between the parameters of two dispatches. */
const ALIGNMENT = 256;
/** Bytes in front of the records: how many were found, and the threshold. */
const HEAD = 16;
/** Records that come back with their number. */
const FIRST = 1024;
/** Windows in one submission: each has its share of what comes back. */
const MOST_WINDOWS = 64;
/** How often in a row a video's frames fail before all are copied. */
const FAILURES = 2;

/**
 * What is drawn or copied to a texture, its pixels, or a frame of a video, with its size; `close`
 * closes what was made here.
 */
async function opened(source, takesFrames, signal) {
  if (isPixels(source)) {
    const whole = await pixels(source);
    const { data, width, height } = whole;
    if (!data.length || data.length !== 4 * width * height) throw new Error(`image: ${width} x ${height} has not ${data.length} bytes`);
    return { pixels: whole, width, height, close() {} };
  }
  const isFrame = kind(source) === 'VideoFrame';
  if (takesFrames && (isFrame || source?.videoWidth > 0)) {
    // A video may show its next picture before this one is taken.
    const frame = isFrame ? source : await readable(source, () => new VideoFrame(source));
    // One that was closed has no size.
    if (!(frame.displayWidth && frame.displayHeight)) throw new Error('image: 0 x 0 has no pixels');
    return { frame, width: frame.displayWidth, height: frame.displayHeight, close: () => isFrame || frame.close() };
  }
  const drawn = await drawable(source, signal);
  // Some browsers copy no colours to a texture where alpha is 0.
  if (drawn.hasAlpha) drawn.pixels = await drawnPixels(source, drawn).catch((error) => { drawn.close(); throw error; });
  return { ...drawn, draw: () => drawnPixels(source, drawn) };
}

/** Runs a network with a card on its GPU. `card` and `call` work on the card and on the network. */
export class OnDevice {
  #card;
  /** How often a video's frames, which the device takes as they are, may fail now. */
  #frames;
  /** Whether the network takes pictures otherwise than they are sampled here. */
  #isRefused = false;
  /** The network for a picture of the last size, and what was made for it. */
  #lent;

  constructor(card, takesFrames) {
    this.#card = card;
    this.#frames = takesFrames ? FAILURES : 0;
  }

  /**
   * What a detector finds in a picture, and its size; undefined where the processor has to look.
   */
  detect(source, numbers, only, call, signal) {
    const threshold = this.#card((made) => made.threshold(numbers, only));
    return this.#looking(source, signal, async (picture) => {
      const lent = await this.#lend(picture, undefined, call);
      if (!lent) return undefined;
      const decoder = await lent.decoder(this.#card);
      const records = await lent.found(decoder, await this.#sampler(lent, picture), threshold);
      const { width, height } = picture;
      return records && { found: this.#card((made) => made.found_of_records(records, numbers, only)), width, height };
    });
  }

  /** The points in each of some boxes of a picture, four numbers each; undefined as in `detect`. */
  landmarks(source, boxes, call, signal) {
    return this.#looking(source, signal, async (picture) => {
      const all = [];
      for (let first = 0; first < boxes.length; first += 4 * MOST_WINDOWS) {
        const some = boxes.subarray(first, first + 4 * MOST_WINDOWS);
        const lent = await this.#lend(picture, some, call);
        if (!lent) return undefined;
        const reads = this.#card((made) => made.reads());
        const results = lent.results.filter(([name]) => reads.includes(name));
        const windows = await lent.windows(await this.#sampler(lent, picture), some.length / 4, results);
        windows.forEach((bytes, window) => all.push(this.#card((made) => made.points_of_bytes(window, results, bytes, lent.f16))));
      }
      return all;
    });
  }

  /** What `work` makes of a picture, whose frames may be copied. */
  async #looking(source, signal, work, takesFrames = this.#frames > 0) {
    if (this.#isRefused) return undefined;
    const picture = await opened(source, takesFrames, signal);
    try {
      const result = await work(picture);
      if (picture.frame) this.#frames = FAILURES;
      return result;
    } catch (error) {
      // Of a device that was lost nothing is left.
      this.#forget();
      if (!picture.frame || signal?.aborted) throw error;
      // Some are lost by a frame, which is copied then.
      this.#frames -= 1;
      return await this.#looking(source, signal, work, false);
    } finally {
      picture.close();
    }
  }

  /** The network for a picture, or for boxes in it; undefined where it cannot be worked around. */
  async #lend(picture, boxes, call) {
    const shape = this.#card((made) => made.look(picture.width, picture.height, boxes));
    if (!this.#lent?.fits(shape)) {
      this.#forget();
      const parts = await call((net) => net.lend(shape));
      if (!parts.length) {
        this.#isRefused = true;
        return undefined;
      }
      this.#lent = new Lent(shape, parts, call);
    }
    return this.#lent.takes(picture) ? this.#lent : undefined;
  }

  #forget() {
    this.#lent?.free();
    this.#lent = undefined;
  }

  /** How the picture that was looked at is sampled. */
  async #sampler(lent, picture) {
    const [shader, grid, params, table] = this.#card((made) => made.sampling(lent.f16, Boolean(picture.frame)));
    const pipeline = await lent.pipeline(shader);
    return { pipeline, grid, params, table, picture };
  }
}

/** A network on its device, for pictures of one shape, and what stands around it there. */
class Lent {
  #device;
  #isLost = false;
  #input;
  /** Works on the network. */
  #call;
  /** By their templates and constants. */
  #pipelines = new Map();
  /** Buffers by name, and the texture for pictures, as large as the largest so far. */
  #buffers = {};
  #texture;
  #decoder;

  constructor(shape, [device, f16, input, results], call) {
    Object.assign(this, { shape, f16, results });
    this.#device = device;
    this.#input = input;
    this.#call = call;
    device.lost.then(() => { this.#isLost = true; });
  }

  /** Whether it is for inputs of this shape, and its device still there. */
  fits(shape) {
    return !this.#isLost && String(this.shape) === String(shape);
  }

  /** Whether a texture may be as large as a picture. */
  takes({ frame, width, height }) {
    return frame || Math.max(width, height) <= this.#device.limits.maxTextureDimension2D;
  }

  free() {
    for (const made of [...Object.values(this.#buffers), this.#texture]) made?.destroy();
  }

  /** What `make` gives, unless the device has no room for it. */
  async #made(make) {
    const device = this.#device;
    for (const filter of ['validation', 'out-of-memory']) device.pushErrorScope(filter);
    let made, scopes;
    try {
      made = make();
    } finally {
      scopes = Promise.all([device.popErrorScope(), device.popErrorScope()]);
      // Nobody waits for it where `make` throws.
      scopes.catch(() => {});
    }
    const [memory, other] = await scopes;
    if (memory) throw new Error('out of memory: the device has no room for the buffers');
    if (other) throw new Error(other.message);
    return made;
  }

  /** The compute pipeline of a shader, its layout, and where it binds each of its variables. */
  async pipeline([template, names, values]) {
    const key = template + values;
    if (!this.#pipelines.has(key)) {
      const code = this.#call((net) => net.compose(template, names, values));
      const found = [...code.matchAll(/@binding\((\d+)\) var(?:<(.*?)>)? ?(\w+): (\w+)/g)];
      // Of all that is declared: one made of the code leaves out what it does not read.
      const entries = found.map(([, at, space, , type]) => ({ binding: Number(at), visibility: GPUShaderStage.COMPUTE, ...bound(space, type) }));
      const { module, layout, whole } = await this.#made(() => {
        const layout = this.#device.createBindGroupLayout({ entries });
        return { module: this.#device.createShaderModule({ code }), layout, whole: this.#device.createPipelineLayout({ bindGroupLayouts: [layout] }) };
      });
      const pipeline = await this.#device.createComputePipelineAsync({ layout: whole, compute: { module, entryPoint: 'main' } });
      this.#pipelines.set(key, { pipeline, layout, bindings: found.map(([, at, , name]) => [Number(at), name]) });
    }
    return this.#pipelines.get(key);
  }

  /** The buffer of this name, of so many bytes or more. */
  async #buffer(name, bytes, usage) {
    const had = this.#buffers[name];
    if (had?.size >= bytes) return had;
    const size = Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
    const made = await this.#made(() => this.#device.createBuffer({ label: name, size, usage: usage | GPUBufferUsage.COPY_DST }));
    had?.destroy();
    return (this.#buffers[name] = made);
  }

  /** One that holds these bytes. */
  async #filled(name, bytes, usage) {
    const buffer = await this.#buffer(name, bytes.length, usage);
    this.#device.queue.writeBuffer(buffer, 0, bytes);
    return buffer;
  }

  /** Sets what a pipeline runs on: `of` gives each variable's resource, `params` parameters'. */
  #set(pass, { pipeline, layout, bindings }, grid, params, of) {
    const entries = bindings.map(([binding, name]) => ({ binding, resource: name === 'params' ? params : of(name) }));
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, this.#device.createBindGroup({ layout, entries }));
    pass.dispatchWorkgroups(...grid);
  }

  /** What behind the network finds candidates, as the card says it. */
  async decoder(card) {
    if (this.#decoder) return this.#decoder;
    const [record, capacity, table, priors, ...launches] = card((made) => made.decoding(this.results, this.f16));
    const constants = {
      table: await this.#filled('decode table', table, GPUBufferUsage.STORAGE),
      priors: priors.length ? await this.#filled('priors', priors, GPUBufferUsage.STORAGE) : undefined,
      records: await this.#buffer('records', HEAD + 4 * record * capacity, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC),
    };
    const steps = [];
    for (const [at, [shader, grid, params, bound]] of launches.entries()) {
      const buffers = { ...constants, ...Object.fromEntries(bound.map(([name, result]) => [name, this.results[result][3]])) };
      const buffer = await this.#filled(`decode params ${at}`, params, GPUBufferUsage.UNIFORM);
      steps.push({ pipeline: await this.pipeline(shader), grid, buffer, buffers });
    }
    this.#decoder = { record, capacity, steps, records: constants.records };
    return this.#decoder;
  }

  /**
   * The words of a detector's records above a threshold, in no order; undefined where there are
   * more than there is room for.
   */
  async found({ record, capacity, steps, records }, sampler, threshold) {
    const first = HEAD + 4 * record * Math.min(capacity, FIRST);
    const readback = await this.#buffer('readback', first, GPUBufferUsage.MAP_READ);
    const head = new DataView(new ArrayBuffer(HEAD));
    head.setFloat32(4, threshold, true);
    const bytes = await this.#submitted(sampler, 1, readback, first, (encoder) => {
      const pass = encoder.beginComputePass();
      for (const { pipeline, grid, buffer, buffers } of steps) this.#set(pass, pipeline, grid, { buffer }, (name) => ({ buffer: buffers[name] }));
      pass.end();
      encoder.copyBufferToBuffer(records, 0, readback, 0, first);
    }, () => this.#device.queue.writeBuffer(records, 0, head));
    const [found] = new Uint32Array(bytes, 0, 1);
    if (found > capacity) return undefined;
    const whole = HEAD + 4 * record * found;
    if (whole <= first) return new Uint32Array(bytes.slice(HEAD, whole));
    const rest = await this.#buffer('rest', whole - HEAD, GPUBufferUsage.MAP_READ);
    const encoder = this.#device.createCommandEncoder();
    encoder.copyBufferToBuffer(records, HEAD, rest, 0, whole - HEAD);
    this.#device.queue.submit([encoder.finish()]);
    return new Uint32Array(await read(rest, whole - HEAD));
  }

  /** The bytes of some results, of each of the windows. */
  async windows(sampler, count, results) {
    // Up to the end of its last block of four channels.
    const sizes = results.map(([, shape, starts]) => {
      const pixels = shape.reduce((a, b) => a * b, 1) / starts.length;
      return ((Math.max(...starts) & ~3) + 4 * pixels) * (this.f16 ? 2 : 4);
    });
    const stride = sizes.reduce((a, b) => a + b, 0);
    const readback = await this.#buffer('readback', stride * count, GPUBufferUsage.MAP_READ);
    const bytes = await this.#submitted(sampler, count, readback, stride * count, (encoder, window) => {
      let at = window * stride;
      for (const [result, size] of sizes.entries()) {
        encoder.copyBufferToBuffer(results[result][3], 0, readback, at, size);
        at += size;
      }
    });
    let at = 0;
    return Array.from({ length: count }, () => sizes.map((size) => new Uint8Array(bytes, (at += size) - size, size)));
  }

  /**
   * Runs the network on windows of a picture, one after the other in one submission, with what
   * `behind` encodes for each. Gives the bytes of `readback`. `write` comes right before.
   */
  async #submitted({ pipeline, grid, params, table, picture }, count, readback, bytes, behind, write = () => {}) {
    const device = this.#device;
    const buffers = {
      output: this.#input,
      table: await this.#filled('sample table', table, GPUBufferUsage.STORAGE),
      params: await this.#filled('sample params', params, GPUBufferUsage.UNIFORM),
    };
    const texture = picture.frame ? undefined : await this.#textured(picture);
    const submit = () => {
      write();
      const source = texture?.createView() ?? device.importExternalTexture({ source: picture.frame });
      const commands = [];
      for (let window = 0; window < count; window++) {
        const encoder = device.createCommandEncoder();
        const pass = encoder.beginComputePass();
        const own = { buffer: buffers.params, offset: window * ALIGNMENT, size: ALIGNMENT };
        this.#set(pass, pipeline, grid, own, (name) => (name === 'source' ? source : { buffer: buffers[name] }));
        pass.end();
        const after = device.createCommandEncoder();
        behind(after, window);
        commands.push(encoder.finish(), ...withheld(device.queue, () => this.#call((net) => net.submit())), after.finish());
      }
      device.queue.submit(commands);
    };
    // An error outside of a scope would be the engine's.
    const submitted = this.#made(submit);
    const result = read(readback, bytes);
    result.catch(() => {});
    await submitted;
    return result;
  }

  /** A texture that holds the picture. */
  async #textured({ picture, pixels, draw, width, height }) {
    const had = this.#texture;
    if (!(had?.width >= width && had.height >= height)) {
      const size = [Math.max(width, had?.width ?? 0), Math.max(height, had?.height ?? 0)];
      const usage = GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.COPY_DST | GPUTextureUsage.RENDER_ATTACHMENT;
      this.#texture = await this.#made(() => this.#device.createTexture({ label: 'picture', size, format: 'rgba8unorm', usage }));
      had?.destroy();
    }
    const [{ queue }, to, size] = [this.#device, { texture: this.#texture }, [width, height]];
    const write = ({ data }) => this.#made(() => queue.writeTexture(to, data, { bytesPerRow: 4 * width }, size));
    if (pixels) {
      await write(pixels);
    } else {
      try {
        await this.#made(() => queue.copyExternalImageToTexture({ source: picture }, to, size));
      } catch {
        // What a browser copies to no texture, such as 16 bits a channel, it may draw.
        await write(await draw());
      }
    }
    return this.#texture;
  }
}

/** What a shader's variable takes, by its address space and type. */
function bound(space, type) {
  if (type === 'texture_external') return { externalTexture: {} };
  if (!space) return { texture: {} };
  return { buffer: { type: { uniform: 'uniform', 'storage, read': 'read-only-storage', 'storage, read_write': 'storage' }[space] } };
}

/** The command buffers that `work` would submit. */
function withheld(queue, work) {
  const all = [];
  queue.submit = (buffers) => all.push(...buffers);
  try {
    work();
  } finally {
    delete queue.submit;
  }
  return all;
}

/** The first bytes of a buffer, once the device has written them. */
async function read(buffer, bytes) {
  await buffer.mapAsync(GPUMapMode.READ, 0, bytes);
  const copy = buffer.getMappedRange(0, bytes).slice();
  buffer.unmap();
  return copy;
}
