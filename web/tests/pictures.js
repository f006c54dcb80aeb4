// Runs in a page: pictures that a browser copies to no texture, or not at all. `other` is another site's address, `own` this one's.

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

/** Each picture, and what must become of it: classes (true), an error that says why, or either (null). */
const CASES = {
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
 * Shows every picture to `net`. What is `wrong` with what it said of one, or of a plain picture after that, one line each; and the `classes` of the
 * PNG of 16 bits a channel.
 */
export async function showAll(net, other, own) {
  await fetch('/video.webm', { method: 'POST', body: await record() });
  const wrong = [];
  let classes;
  for (const [name, [make, must]] of Object.entries(CASES)) {
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
