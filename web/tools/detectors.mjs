// Faces in a frame of 640 x 480 in a page without a GPU, with one thread: by this package, by
// onnxruntime-web with the same networks, and by MediaPipe's face detector. After `npm run build`:
// `node tools/detectors.mjs DIR`, where DIR is any folder with the other packages, by
// `npm install --prefix DIR onnxruntime-web@1.30.0 @mediapipe/tasks-vision@1.1.0` and, for
// MediaPipe's network, `@mediapipe/face_detection@0.4.1657300184`. `--rounds N` takes N pages of
// each (7), `--frames N` times N frames in each page (100), `--json FILE` writes what was measured.
// `--webgpu` measures this package alone, on the driver by which Chromium's WebGPU runs on the
// processor, and needs no DIR: how much longer a frame takes than a run of the network alone.
//
// They take turns in one headless Chromium. Each page has a context of its own, and so a process
// without anything compiled and a cache without anything in it. All must find the same face.

import { execFileSync } from 'node:child_process';
import { createReadStream, readFileSync, writeFileSync } from 'node:fs';
import { extname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { dist, launch } from '../tests/browser.mjs';
import { trained } from '../tests/video.mjs';
import { serve } from './server.mjs';

const { values, positionals: [directory] } = parseArgs({
  allowPositionals: true, options: { rounds: { type: 'string', default: '7' }, frames: { type: 'string', default: '100' }, json: { type: 'string' }, webgpu: { type: 'boolean' } },
});
const [rounds, frames] = [values.rounds, values.frames].map(Number);
if (!(directory || values.webgpu) || ![rounds, frames].every((count) => Number.isInteger(count) && count > 0)) throw new Error('usage: detectors.mjs DIR [--rounds N] [--frames N] [--json FILE] [--webgpu]');
const WARM = 10;
const NETWORKS = { ultraface_rfb320: 'UltraFace RFB-320', yunet_n_320: 'YuNet 320', blazeface_front: 'BlazeFace 128' };

const median = (times) => [...times].sort((a, b) => a - b)[times.length >> 1];

/** In the page: a canvas full of the photo, as a camera would give it. */
async function takeFrame() {
  const photo = await createImageBitmap(await (await fetch('/images/astronaut.jpg')).blob());
  window.frame = Object.assign(document.createElement('canvas'), { width: 640, height: 480 });
  frame.getContext('2d').drawImage(photo, 0, 0, 640, (640 * photo.height) / photo.width);
}

/**
 * In the page: milliseconds to the first detections, those of later frames, those of runs of this
 * package's network alone in turn with them, and the detections.
 */
async function measure([engine, name, warm, frames, backend]) {
  const begin = performance.now();
  let find, run;
  if (engine === 'ghostnet') {
    const { GhostNet } = await import('/ghostnet.js');
    const net = await GhostNet.load({ weights: `/${name}.onnx`, card: `/${name}.json`, backend, cache: false });
    find = () => net.detect(frame);
    run = (values, shape) => net.run(values, shape);
  } else if (engine === 'onnxruntime-web') {
    const [ort, { reader }, card] = await Promise.all([import('/ort/ort.wasm.bundle.min.mjs'), import('/reader.js'), fetch(`/${name}.json`).then((response) => response.json())]);
    ort.env.wasm.numThreads = 1;
    const session = await ort.InferenceSession.create(`/${name}.onnx`, { executionProviders: ['wasm'] });
    const { input, shape, faces } = reader(card, frame.width, frame.height);
    find = async () => faces(await session.run({ [session.inputNames[0]]: new ort.Tensor('float32', input(frame), shape) }));
  } else {
    const { FaceDetector, FilesetResolver } = await import('/mediapipe/vision_bundle.mjs');
    const files = await FilesetResolver.forVisionTasks('/mediapipe/wasm');
    const detector = await FaceDetector.createFromOptions(files, { baseOptions: { modelAssetPath: '/face.tflite', delegate: 'CPU' }, runningMode: 'VIDEO' });
    const face = ({ boundingBox: { originX: x, originY: y, width, height }, categories: [{ score }] }) => ({ score, box: [x, y, x + width, y + height] });
    find = () => detector.detectForVideo(frame, performance.now()).detections.map(face);
  }
  let found = await find();
  const [first, times, alone] = [performance.now() - begin, [], []];
  // What a network takes depends on what it sees: it is shown the same.
  const { reader } = run ? await import('/reader.js') : {};
  const { input, shape } = reader?.(await (await fetch(`/${name}.json`)).json(), frame.width, frame.height) ?? {};
  const values = input?.(frame);
  for (let at = 0; at < warm + frames; at++) {
    const begin = performance.now();
    found = await find();
    const end = performance.now();
    if (at >= warm) times.push(end - begin);
    if (!run) continue;
    await run(values, shape);
    if (at >= warm) alone.push(performance.now() - end);
  }
  return { first, times, alone, faces: found.map(({ score, box }) => ({ score, box })) };
}

/**
 * In the page, for onnxruntime-web, which leaves it to the page: what makes the input of a frame,
 * and faces of the results, by a card. It knows what the cards of `NETWORKS` say, and no more. The
 * browser scales the frame, which is the fastest way, and not the package's own.
 */
function reader({ input, priors, score, box, threshold, nms }, width, height) {
  const [rows, columns] = input.size;
  const scale = Math.min(columns / width, rows / height);
  const [across, down] = input.fit === 'stretch' ? [columns / width, rows / height] : [scale, scale];
  const [left, top] = input.fit === 'letterbox' ? [(columns - width * scale) / 2, (rows - height * scale) / 2] : [0, 0];
  const context = new OffscreenCanvas(columns, rows).getContext('2d', { willReadFrequently: true });
  context.fillRect(0, 0, columns, rows);
  const [channels, pixels] = [input.order === 'bgr' ? [2, 1, 0] : [0, 1, 2], rows * columns];
  const [pixel, plane] = input.layout === 'nhwc' ? [3, 1] : [1, pixels];
  const values = new Float32Array(3 * pixels);

  const makeInput = (frame) => {
    context.drawImage(frame, left, top, width * across, height * down);
    const { data } = context.getImageData(0, 0, columns, rows);
    channels.forEach((channel, at) => {
      const [mean, factor] = [input.mean[at], 1 / input.std[at]];
      for (let i = 0; i < pixels; i++) values[i * pixel + at * plane] = (data[4 * i + channel] - mean) * factor;
    });
    return values;
  };

  const [first] = score.classes.channels ?? [0];
  /** The corners of the box in a row of a level, in pixels of the input. */
  const corners = (values, row, level) => {
    const [a, b, c, d] = values.subarray(row, row + 4);
    return priors ? centred([a, b, c, d], level) : [a * columns, b * rows, c * columns, d * rows];
  };
  const centred = ([x, y, w, h], { stride, cell }) => {
    const size = priors.size === 'stride' ? stride : columns;
    const [centre, side] = box.scale ?? [1, 1];
    const [cx, cy] = [[x, cell % (columns / stride)], [y, Math.floor(cell / (columns / stride))]].map(([v, at]) => (at + priors.offset) * stride + v * centre * size);
    const [half, other] = [w, h].map((v) => (size * (box.size === 'exp' ? Math.exp(v * side) : v * side)) / 2);
    return [cx - half, cy - other, cx + half, cy + other];
  };
  const overlap = (a, b) => {
    const area = ([x1, y1, x2, y2]) => Math.max(0, x2 - x1) * Math.max(0, y2 - y1);
    const both = area([Math.max(a[0], b[0]), Math.max(a[1], b[1]), Math.min(a[2], b[2]), Math.min(a[3], b[3])]);
    return both / (area(a) + area(b) - both);
  };

  const faces = (results) => {
    let candidates = [];
    score.classes.outputs.forEach((output, at) => {
      const { data, dims } = results[output];
      const objectness = score.objectness && results[score.objectness.outputs[at]].data;
      const boxes = results[box.values.outputs[at]];
      const [step, wide] = [dims.at(-1), boxes.dims.at(-1)];
      for (let row = 0; row * step < data.length; row++) {
        let value = data[row * step + first];
        if (score.activation === 'sigmoid') value = 1 / (1 + Math.exp(-value));
        if (objectness) value *= objectness[row];
        if (value < threshold) continue;
        const level = { stride: priors?.strides[at], cell: Math.floor(row / (priors?.repeat?.[at] ?? 1)) };
        candidates.push({ score: value, box: corners(boxes.data, row * wide, level) });
      }
    });
    candidates.sort((a, b) => b.score - a.score);
    const kept = [];
    while (candidates.length) {
      const [best] = candidates;
      const group = candidates.filter((one) => one === best || overlap(one.box, best.box) > nms.iou);
      candidates = candidates.filter((one) => !group.includes(one));
      const total = group.reduce((sum, { score }) => sum + score, 0);
      const mean = nms.kind === 'weighted' ? best.box.map((_, side) => group.reduce((sum, { score, box }) => sum + score * box[side], 0) / total) : best.box;
      kept.push({ score: best.score, box: mean.map((v, side) => (side % 2 ? (v - top) / down : (v - left) / across)) });
    }
    return kept;
  };
  return { input: makeInput, shape: input.layout === 'nhwc' ? [1, rows, columns, 3] : [1, 3, rows, columns], faces };
}

/**
 * A flatbuffer's bytes, of a table: its fields in order, each a number, an object or undefined.
 * Objects are tables, texts, bytes, `{ list }` of objects, `{ floats }` or, where one lies already,
 * `{ place }`.
 */
function flatbuffer(identifier, root, room) {
  const bytes = Buffer.alloc(room);
  let end = 8;
  const place = (size) => {
    const at = end;
    end = (at + size + 3) & ~3;
    if (end > room) throw new Error(`a flatbuffer has more than ${room} bytes`);
    return at;
  };
  const point = (from, object) => bytes.writeUInt32LE(write(object) - from, from);
  const write = (object) => {
    if (object.place) return object.place;
    if (Array.isArray(object)) {
      const [layout, table] = [place(4 + 2 * object.length), place(4 + 4 * object.length)];
      bytes.writeUInt16LE(4 + 2 * object.length, layout);
      bytes.writeUInt16LE(4 + 4 * object.length, layout + 2);
      bytes.writeInt32LE(table - layout, table);
      object.forEach((field, slot) => {
        const offset = 4 + 4 * slot;
        if (field === undefined) return;
        bytes.writeUInt16LE(offset, layout + offset / 2 + 2);
        if (typeof field === 'number') bytes.writeUInt32LE(field, table + offset);
        else point(table + offset, field);
      });
      return table;
    }
    const { list, floats } = object;
    const text = list || floats ? undefined : Buffer.from(object);
    const at = place(4 + (text ? text.length + 1 : 4 * (list ?? floats).length));
    bytes.writeUInt32LE((text ?? list ?? floats).length, at);
    text?.copy(bytes, at + 4);
    floats?.forEach((value, index) => bytes.writeFloatLE(value, at + 4 + 4 * index));
    list?.forEach((one, index) => point(at + 4 + 4 * index, one));
    return at;
  };
  bytes.write(identifier, 4);
  point(0, root);
  return bytes.subarray(0, end);
}

/**
 * The network of MediaPipe's older package as the newer one takes it: with metadata, which say that
 * pixels become -1 to 1. Without them it is refused.
 */
function withMetadata(model) {
  // Tables of the model, a vector of its buffers with one more, then the model's file as it is:
  // places in a flatbuffer are distances.
  const ROOM = 4096;
  const table = model.readUInt32LE(0);
  const layout = table - model.readInt32LE(table);
  const follow = (place) => place + model.readUInt32LE(place);
  const fields = Array.from({ length: (model.readUInt16LE(layout) - 4) / 2 }, (_, slot) => {
    const offset = model.readUInt16LE(layout + 4 + 2 * slot);
    if (!offset) return undefined;
    // The first is the version, the others are objects.
    return slot ? { place: ROOM + follow(table + offset) } : model.readUInt32LE(table + offset);
  });
  const [BUFFERS, METADATA] = [4, 6];
  const vector = fields[BUFFERS].place - ROOM;
  const buffers = Array.from({ length: model.readUInt32LE(vector) }, (_, index) => ({ place: ROOM + follow(vector + 4 + 4 * index) }));
  // Kinds are numbered: of content, 2 is an image (of whose colours, 1 is RGB), and of what is done
  // to it, 1 is the normalization.
  const normalization = [1, [{ floats: [127.5] }, { floats: [127.5] }]];
  const image = ['image', undefined, undefined, [2, [1]], { list: [normalization] }];
  const metadata = flatbuffer('M001', [undefined, undefined, undefined, { list: [[undefined, undefined, { list: [image] }]] }], ROOM);
  const changed = fields.map((field, slot) => (slot === BUFFERS ? { list: [...buffers, [metadata]] } : field));
  changed[METADATA] = { list: [['TFLITE_METADATA', buffers.length]] };
  const front = flatbuffer('TFL3', changed, ROOM);
  return Buffer.concat([front, Buffer.alloc(ROOM - front.length), model]);
}

const installed = (...path) => join(resolve(directory), 'node_modules', ...path);
const version = (name) => JSON.parse(readFileSync(installed(name, 'package.json'))).version;
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.json': 'application/json', '.mjs': 'text/javascript', '.wasm': 'application/wasm' };

/** What is served beside dist/, by its path: a file, or bytes made here. */
const served = {
  '/empty.html': Buffer.from('<!doctype html><link rel="icon" href="data:,"><title>detectors</title>'),
  '/reader.js': Buffer.from(`export ${reader}`),
};
for (const name of Object.keys(NETWORKS)) {
  const found = trained(name);
  if (!found) throw new Error(`${name}.onnx and its card are not beside the clone`);
  served[`/${name}.onnx`] = found.weights;
  served[`/${name}.json`] = Buffer.from(JSON.stringify(found.card));
}
const others = values.webgpu ? [] : ['onnxruntime-web', 'mediapipe'];
if (others.length) served['/face.tflite'] = withMetadata(readFileSync(installed('@mediapipe/face_detection/face_detection_short_range.tflite')));
for (const name of others.length ? ['ort.wasm.bundle.min.mjs', 'ort-wasm-simd-threaded.wasm'] : []) served[`/ort/${name}`] = installed('onnxruntime-web/dist', name);
for (const name of others.length ? ['vision_bundle.mjs', 'wasm/vision_wasm_internal.js', 'wasm/vision_wasm_internal.wasm'] : []) served[`/mediapipe/${name}`] = installed('@mediapipe/tasks-vision', name);

const routes = Object.fromEntries(Object.entries(served).map(([path, what]) => [path, (_, response) => {
  response.writeHead(200, { 'content-type': TYPES[extname(path)] ?? 'application/octet-stream', 'cache-control': 'no-store' });
  if (typeof what === 'string') createReadStream(what).pipe(response);
  else response.end(what);
}]));

/** Bytes of what is at a path, as they are and compressed. */
const sizes = new Map();
function size(path) {
  if (!sizes.has(path)) {
    const bytes = Buffer.isBuffer(served[path]) ? served[path] : readFileSync(served[path] ?? join(dist, path));
    sizes.set(path, { path, bytes: bytes.length, gzipped: execFileSync('gzip', ['-9', '-n'], { input: bytes, maxBuffer: 1 << 26 }).length });
  }
  return sizes.get(path);
}

const contestants = [
  ...Object.keys(NETWORKS).flatMap((name) => ['ghostnet', 'onnxruntime-web'].map((engine) => ({ engine, name, model: `/${name}.onnx` }))),
  { engine: 'mediapipe', name: 'face_detection_short_range', model: '/face.tflite' },
].filter(({ engine }) => engine === 'ghostnet' || others.includes(engine)).map((one) => ({ ...one, first: [], times: [], alone: [], files: undefined, elsewhere: 0 }));

const server = await serve(dist, 0, routes);
// Nothing is asked of other machines.
const browser = await launch({ webgpu: Boolean(values.webgpu), args: ['--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost'] });
const chromium = browser.version();
try {
  for (let round = 0; round < rounds; round++) {
    // Another one begins each time.
    const start = round % contestants.length;
    for (const one of [...contestants.slice(start), ...contestants.slice(0, start)]) {
      const context = await browser.newContext();
      const page = await context.newPage();
      await page.goto(`${server.url}empty.html`);
      await page.evaluate(takeFrame);
      const asked = [];
      page.on('request', (request) => asked.push(request.url()));
      const { first, times, alone, faces } = await page.evaluate(measure, [one.engine, one.name, WARM, frames, values.webgpu ? 'gpu' : 'cpu']);
      await context.close();
      one.first.push(first);
      one.times.push(median(times));
      if (alone.length) one.alone.push(median(alone));
      one.faces = faces;
      one.elsewhere += asked.filter((url) => !url.startsWith(server.url)).length;
      const paths = new Set(asked.filter((url) => url.startsWith(server.url)).map((url) => new URL(url).pathname));
      // By it only the tool makes inputs of this package's runs.
      if (one.engine === 'ghostnet') paths.delete('/reader.js');
      one.files ??= [...paths].map(size);
    }
  }
} finally {
  await browser.close();
  await server.close();
}

/** The middle of the only face, which all must find. */
const middle = ({ engine, name, faces }) => {
  if (faces.length !== 1) throw new Error(`${engine} finds ${faces.length} faces by ${name}`);
  const [x1, y1, x2, y2] = faces[0].box;
  return [(x1 + x2) / 2, (y1 + y2) / 2];
};
const [x, y] = middle(contestants[0]);
for (const one of contestants) {
  const [ox, oy] = middle(one);
  if (Math.hypot(ox - x, oy - y) > 25) throw new Error(`${one.engine} finds another face by ${one.name}: ${one.faces[0].box}`);
}

const VERSIONS = { ghostnet: '', ...(others.length && { 'onnxruntime-web': ` ${version('onnxruntime-web')}`, mediapipe: ` tasks-vision ${version('@mediapipe/tasks-vision')}` }) };
const spread = (times, digits) => `${median(times).toFixed(digits)} (${Math.min(...times).toFixed(digits)} to ${Math.max(...times).toFixed(digits)})`;
const sum = (files) => files.reduce((total, { gzipped }) => total + gzipped, 0);
const table = [
  ['with', 'network', 'first result, ms', 'a frame, ms', 'of a run', 'bytes, gzipped', 'of them network', 'score', 'box'],
  ...contestants.map(({ engine, name, model, first, times, alone, files, faces: [{ score, box }] }) => [
    engine + VERSIONS[engine], NETWORKS[name] ?? 'BlazeFace, short range', spread(first, 0), spread(times, 1), alone.length ? (median(times) / median(alone)).toFixed(2) : '', sum(files).toLocaleString('en'),
    sum(files.filter(({ path }) => path === model)).toLocaleString('en'), score.toFixed(2), box.map(Math.round).join(' '),
  ]),
];
const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)));
console.log(`a face in 640 x 480, Chromium ${chromium}${values.webgpu ? ' with WebGPU on the processor' : ' without a GPU, one thread each'}: median (least to greatest) of ${rounds} pages, each of ${frames} frames after ${WARM}`);
for (const row of table) console.log(row.map((cell, column) => cell.padEnd(widths[column])).join('  ').trimEnd());
for (const { engine, name, elsewhere } of contestants) if (elsewhere) console.log(`${engine}, ${name}: ${elsewhere} requests to other machines, which were not let through`);
if (values.json) writeFileSync(values.json, `${JSON.stringify({ chromium, rounds, frames, warm: WARM, versions: VERSIONS, contestants }, null, 1)}\n`);
