// Runs in a page, where `importAll` of browser.mjs ran: what might leave a call
// without an answer.

/** What a call gave within 10 s. */
export const answer = (promise) => Promise.race([
  promise.then((result) => ({ result }), (error) => ({ isError: error instanceof Error, name: error.name, message: error.message })),
  new Promise((resolve) => setTimeout(resolve, 10_000, { name: 'no answer' })),
]);

/** An element once it has loaded `source`. */
const loaded = (element, event, source) => new Promise((resolve, reject) => {
  element.addEventListener(event, () => resolve(element));
  element.addEventListener('error', () => reject(new Error(`${source} cannot be loaded`)));
  element.src = source;
});
const image = (source) => loaded(new Image(), 'load', source);
const svg = (inside) => image(`data:image/svg+xml,${encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40">${inside}</svg>`)}`);
const canvas = () => Object.assign(document.createElement('canvas'), { width: 40, height: 40 });

/** Draws what may not be read. */
const taint = async (canvas, other) => {
  canvas.getContext('2d').drawImage(await image(`${other}images/chelsea.png`), 0, 0);
  return canvas;
};

/** A short video of a canvas. */
async function record() {
  const [source, chunks] = [canvas(), []];
  const context = source.getContext('2d');
  const recorder = new MediaRecorder(source.captureStream(30), { mimeType: 'video/webm' });
  recorder.ondataavailable = ({ data }) => chunks.push(data);
  const stopped = new Promise((resolve) => { recorder.onstop = resolve; });
  recorder.start();
  for (let frame = 0; frame < 20; frame++) {
    context.fillStyle = `hsl(${frame * 18} 80% 50%)`;
    context.fillRect(0, 0, 40, 40);
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
  recorder.stop();
  await stopped;
  return new Blob(chunks, { type: 'video/webm' });
}

/**
 * Pictures that a browser copies to no texture, or not at all: how each is made, and what must
 * become of it. To make one, `other` is another site's address and `own` this one's. It must become
 * classes (true), an error that says why, or either (null).
 */
const PICTURES = {
  'a canvas nobody drew on': [canvas, true],
  'a canvas of no document that nobody drew on': [() => new OffscreenCanvas(40, 40), true],
  // Chromium draws what it shows; Firefox does not.
  'a canvas handed to a worker': [() => {
    const made = canvas();
    made.transferControlToOffscreen();
    return made;
  }, null],
  'an SVG': [() => svg('<rect width="20" height="40"/>'), true],
  // Browsers differ in whether it may be read.
  'an SVG with foreignObject': [() => svg('<foreignObject width="40" height="40"><p xmlns="http://www.w3.org/1999/xhtml">a</p></foreignObject>'), null],
  "another site's picture": [(other) => image(`${other}images/chelsea.png`), /^HTMLImageElement http:.*\/chelsea\.png: .* CORS/],
  "another site's video": [(other) => loaded(Object.assign(document.createElement('video'), { muted: true }), 'loadeddata', `${other}video.webm`), /^HTMLVideoElement http:.*\/video\.webm: ./],
  "a bitmap of another site's picture": [async (other) => createImageBitmap(await image(`${other}images/chelsea.png`)), /^ImageBitmap: .* CORS/],
  "a canvas with another site's picture": [(other) => taint(canvas(), other), /^HTMLCanvasElement: .* CORS/],
  'a canvas with such a picture since it was first used': [async (other, own, net) => {
    const made = canvas();
    made.getContext('2d').fillRect(0, 0, 20, 40);
    await net.classify(made);
    return taint(made, other);
  }, /^HTMLCanvasElement: .* CORS/],
  'a picture that did not load': [async () => {
    const made = new Image();
    made.src = 'data:image/png,none';
    await made.decode().catch(() => {});
    return made;
  }, /^HTMLImageElement data:image\/png,none: ./],
  'a bitmap that was closed': [async () => {
    const made = await createImageBitmap(new ImageData(40, 40));
    made.close();
    return made;
  }, /0 x 0 has no pixels$/],
  'pixels that were given away': [() => {
    const made = new ImageData(40, 40);
    structuredClone(made.data, { transfer: [made.data.buffer] });
    return made;
  }, /^ImageData: ./],
  // Where there is one; else it is of 8 bits.
  'a canvas of 16-bit floats': [() => {
    const made = canvas();
    made.getContext('2d', { colorType: 'float16' }).fillRect(0, 0, 20, 40);
    return made;
  }, true],
  'a PNG of 16 bits a channel': [(other, own) => image(`${own}16-bit.png`), true],
};

/**
 * Shows every picture to `net`. Gives what is `wrong` with what it said of one, or of a plain
 * picture after that, one line each. Gives also the `classes` of the PNG of 16 bits a channel.
 */
export async function showAll(net, other, own) {
  await fetch('/video.webm', { method: 'POST', body: await record() });
  // Drivers compile what draws and what takes pixels now, for as long as they like.
  for (const first of [new ImageData(40, 40), new OffscreenCanvas(40, 40)]) await net.classify(first);
  const wrong = [];
  let classes;
  for (const [name, [make, must]] of Object.entries(PICTURES)) {
    const picture = await make(other, own, net);
    const got = await answer(net.classify(picture, { top: 10 }));
    const { result, isError, message } = got;
    const isRight = result ? result.length > 0 && (must === true || must === null) : isError && must !== true && !message.includes('\n') && (must?.test(message) ?? true);
    if (!isRight) wrong.push(`${name}: ${JSON.stringify(got)}`);
    const next = await answer(net.classify(new ImageData(40, 40)));
    if (!next.result) wrong.push(`after ${name}: ${JSON.stringify(next)}`);
    classes = result;
  }
  return { wrong, classes };
}

/**
 * What makes the module panic, or throws through it, and when. That is the browser's function that
 * throws, from the first call of `from` on if that is given, and the call that comes upon it. A
 * page reaches no deeper into the module.
 */
export const CRASHES = {
  'a panic, in a call itself': { name: 'set', of: 'Reflect', call: 'load', backends: ['gpu', 'cpu'], is: 'unreachable' },
  'a panic, when its future first runs': { name: 'createBuffer', of: 'GPUDevice.prototype', call: 'run', backends: ['gpu'], is: 'unreachable' },
  'a panic, when it goes on': { name: 'createBuffer', of: 'GPUDevice.prototype', from: 'popErrorScope', call: 'run', backends: ['gpu'], is: 'unreachable' },
  'a panic, before it ends': { name: 'set', of: 'Reflect', call: 'classify', backends: ['cpu'], is: 'unreachable' },
  'an exception, when its future first runs': { name: 'set', of: 'Float32Array.prototype', call: 'run', backends: ['cpu'], is: 'on purpose' },
  'an exception, when it goes on': { name: 'submit', of: 'GPUQueue.prototype', call: 'classify', backends: ['gpu'], is: 'on purpose' },
  "an exception, in a callback of the browser's": { name: 'unmap', of: 'GPUBuffer.prototype', call: 'classify', backends: ['gpu'], is: 'on purpose' },
};

/**
 * Crashes a backend's engine under calls of several nets, once the page records devices. The other
 * backend has an engine of its own, which goes on, unless it too calls what is broken. Gives what
 * is `wrong` with the answers, one line each, and the classes of chelsea.png by nets that are
 * loaded `after` it.
 */
export async function crash(what, backend) {
  const { name, of, from, call, is } = CRASHES[what];
  const object = (0, eval)(of);
  const blob = await (await fetch('/images/chelsea.png')).blob();
  const nets = { gpu: await load({ backend: 'gpu' }), cpu: await load({ backend: 'cpu' }) };
  const [third, leaving] = [await load({ backend }), await load({ backend })];
  for (const net of Object.values(nets)) await net.classify(blob);
  const [victim, bystander] = backend === 'gpu' ? [nets.gpu, nets.cpu] : [nets.cpu, nets.gpu];
  const loading = load({ backend, weights: '/never.safetensors', cache: false });
  while (devices.length < (backend === 'gpu' ? 4 : 1)) await new Promise((resolve) => setTimeout(resolve, 10));

  const undo = [];
  const replace = (name, value) => {
    const before = Object.getOwnPropertyDescriptor(object, name);
    Object.defineProperty(object, name, { value, configurable: true, writable: true });
    undo.unshift(() => (before ? Object.defineProperty(object, name, before) : delete object[name]));
  };
  const fail = () => replace(name, () => { throw new Error('on purpose\nin a test'); });
  const original = object[from];
  if (from) {
    replace(from, function (...values) {
      fail();
      return original.apply(this, values);
    });
  }
  // The input and the picture are of sizes that nothing is prepared for.
  const start = {
    load: () => load({ backend }),
    run: () => victim.run(new Float32Array(3 * 40 * 48), [1, 3, 40, 48]),
    classify: () => victim.classify(new ImageData(123, 77)),
  };
  const first = start[call]();
  if (!from) fail();
  const left = answer(leaving.classify(blob));
  leaving.destroy();
  const calls = {
    first,
    next: victim.classify(blob),
    bystander: bystander.profile(),
    'bystander, next': bystander.classify(blob),
    third: third.classify(blob),
    'third, next': third.maps(blob, third.modules()[0]),
    loading,
  };
  const answers = await Promise.all(Object.entries(calls).map(async ([name, promise]) => [name, await answer(promise)]));
  undo.forEach((back) => back());
  answers.push(['later', await answer(victim.classify(blob))], ['modules', await answer((async () => third.modules())())]);

  const wrong = [];
  for (const [name, got] of answers) {
    if (got.result && name.startsWith('bystander')) continue;
    const isRight = got.isError && got.name === 'GhostNetCrashed' && got.message.includes(is) && !got.message.includes('\n');
    if (!isRight) wrong.push(`${name}: ${JSON.stringify(got)}`);
  }
  const gone = await left;
  if (gone.message !== 'the network was destroyed') wrong.push(`destroyed: ${JSON.stringify(gone)}`);
  const error = await third.profile().catch((error) => error);
  if (!(error instanceof GhostNetCrashed && error.cause instanceof Error)) wrong.push(`the error is ${error}`);
  bystander.destroy();
  const lost = await answer(Promise.all(devices.map((device) => device.lost)));
  if (!lost.result?.every(({ reason }) => reason === 'destroyed')) wrong.push(`a device was not closed: ${JSON.stringify(lost)}`);
  third.destroy();
  const after = [];
  for (const backend of ['gpu', 'cpu']) {
    const net = await load({ backend });
    after.push(await net.classify(blob, { top: 10 }));
    net.destroy();
  }
  return { wrong, after };
}
