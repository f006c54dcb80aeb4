// The page: a picture or the camera to classes, feature maps and timings.

import { cifar10 } from '../cifar10.js';
import { GhostNet } from '../ghostnet.js';
import { nextFrame, openCamera } from './camera.js';
import { $, bar, element } from './dom.js';
import { amount, bytes, count, median, ms, percent } from './format.js';
import { showMaps } from './maps.js';
import { clearSteps, showSteps } from './steps.js';

/** Photos, their names, and which class a network of few must know for one to be shown. */
const SAMPLES = [
  ['chelsea.png', 'a cat', 'cat'],
  ['horse.png', 'a horse', 'horse'],
  ['coffee.png', 'a cup of coffee'],
  ['rocket.jpg', 'a rocket'],
  ['astronaut.jpg', 'an astronaut'],
  ['camera.png', 'a photographer'],
];
/** A network that tells apart no more is asked only what it knows. */
const FEW_CLASSES = 20;
/** What knows ImageNet's classes. */
const IMAGENET = 'timm/ghostnet_100.in1k';
/** Runs whose median is shown. */
const RUNS = 30;
/** A still picture is run again for at most this many milliseconds, for that median. */
const REPEAT_MS = 300;
/** Between two looks at the maps of a moving picture, and two spoken results of it. */
const [MAPS_MS, SPEAK_MS] = [500, 3000];

let net;
/** Whether it says classes of a picture: ONNX files do not say how one becomes their input. */
let classifies = true;
/** What it gives, where it says no classes. */
let gives = [];
/** The file or the hub's id that the weights came from; undefined for the embedded network. */
let weights;
const called = (weights) => weights?.name ?? weights ?? 'the network';
/** What `net` is looking at. */
let source;
/** The open camera: `{ close }`. */
let camera;
let times = [];
/** The name of the error that was shown last. */
let told;
/** What was chosen for `net`. */
let asked = { backend: 'auto', precision: 'f32' };

// Work on the network waits in line: a time then holds no other's.
let line = Promise.resolve();
const inLine = (work) => (line = line.then(work, work));

/**
 * Does `work` and says whether it could be done. An error is shown, with a button that does
 * `again`, if that could help.
 */
async function guard(work, again) {
  try {
    await work();
    return true;
  } catch (error) {
    // Nothing works on a crashed network any more.
    showError(error, error.name === 'GhostNetCrashed' ? () => reload(weights) : again);
    return false;
  }
}

/** Does what somebody asked for: what went wrong before is no longer news. */
function attempt(work, again) {
  $('error').hidden = true;
  return guard(work, again);
}

function showError(error, again) {
  told = error.name;
  $('error').querySelector('p').textContent = error.message || String(error);
  $('retry').hidden = !again;
  $('retry').onclick = () => attempt(again);
  $('error').hidden = false;
}

// The network

const CHOICES = ['imagenet', 'hub-button', 'weights-button', 'embedded', 'backend-choice', 'precision-choice'];

const load = (file) => inLine(async () => {
  $('loading').hidden = false;
  $('loading-text').textContent = `Loading ${called(file)}…`;
  $('loading-progress').removeAttribute('value');
  for (const id of [...CHOICES, 'measure', 'module']) $(id).disabled = true;
  const onProgress = (loaded, total) => {
    if (loaded === total) {
      $('loading-progress').removeAttribute('value');
      $('loading-text').textContent = 'Preparing the network…';
    } else {
      if (total) [$('loading-progress').max, $('loading-progress').value] = [total, loaded];
      $('loading-text').textContent = `Loading ${called(file)}: ${bytes(loaded)}${total ? ` of ${bytes(total)}` : ''}`;
    }
  };
  try {
    const options = { backend: $('backend-choice').value, precision: $('precision-choice').value };
    const loaded = await GhostNet.load({ weights: file ?? cifar10, ...options, onProgress });
    const tried = () => loaded.classify(new ImageData(8, 8)).then(() => true, (error) => {
      if (error.name !== 'Error') throw error;
      return false;
    });
    classifies = loaded.info.classes > 0 && (!file || (await tried()));
    gives = classifies ? [] : await results(loaded);
    net?.destroy();
    [net, weights, times, asked] = [loaded, file, [], options];
    showNetwork();
  } finally {
    $('loading').hidden = true;
    for (const id of CHOICES) $(id).disabled = false;
    // What could not be loaded is not chosen either.
    [$('backend-choice').value, $('precision-choice').value] = [asked.backend, asked.precision];
    $('measure').disabled = $('module').disabled = !net;
  }
});

/**
 * The results of a network with their types and shapes: those of a run of zeros where its inputs
 * have one size, else what is known before.
 */
async function results(net) {
  const arrays = { f32: Float32Array, i32: Int32Array, i64: BigInt64Array, bool: Uint8Array };
  const { inputs, outputs } = net.info;
  const zeros = inputs.map(({ name, type, sides }) => {
    const shape = sides.map((side) => (side === 'n' ? 1 : Number(side.split('=')[1])));
    return [name, { shape, data: new arrays[type](shape.reduce((count, side) => count * side, 1) || 0) }];
  });
  const found = await net.run(Object.fromEntries(zeros)).catch((error) => {
    if (error.name !== 'Error') throw error;
    return {};
  });
  return outputs.map(({ name, type, sides }) => `${name}: ${type} [${(found[name]?.shape ?? sides).join(', ')}]`);
}

function showNetwork() {
  const { info } = net;
  $('adapter').textContent = info.adapter;
  const where = info.backend === 'gpu' ? 'GPU, through WebGPU' : 'CPU, in WebAssembly';
  $('backend').textContent = `${where}; ${info.precision}${info.fallback ? `. The GPU is not used: ${info.fallback}` : ''}`;
  $('latency').textContent = '–';
  $('latency-note').textContent = `median of the last ${RUNS}`;
  const named = info.labels.length > 0 && info.labels.length <= FEW_CLASSES ? `${info.labels.slice(0, -1).join(', ')} and ${info.labels.at(-1)}` : undefined;
  $('knows').textContent = named ? `This network knows ${info.labels.length} things: ${named}. Whatever else it sees, it takes for one of them.` : '';
  $('embedded').hidden = !weights;
  $('imagenet').hidden = Boolean(weights);
  for (const [at, [, , label]] of SAMPLES.entries()) $('samples').children[at].hidden = Boolean(named) && !info.labels.includes(label);
  [$('gives').hidden, $('classes').hidden] = [classifies, !classifies];
  $('outputs').replaceChildren(...gives.map((text) => element('li', {}, element('code', {}, text))));
  if (!classifies) {
    showClasses([], false);
    $('status').textContent = `Loaded ${info.model}`;
  }
  $('camera-button').disabled = !classifies;
  const names = net.modules();
  const modules = $('module');
  const chosen = modules.value;
  modules.replaceChildren(...names.map((name) => element('option', {}, name)));
  // The second block's expansion has more maps than the first's, and they are still large.
  modules.value = names.includes(chosen) ? chosen : names[Math.min(2, names.length - 1)];
  $('ghosts').hidden = !names.length || !classifies;
  // What is timed is a run for a picture.
  $('time').hidden = !info.input[1];
  clearSteps();
  showFacts();
}

function showFacts() {
  const { info } = net;
  const { startup } = info;
  const parts = ['wasm', 'weights', 'device', 'upload', 'pipelines', 'first_run'].filter((part) => startup[part] !== null);
  const fact = (name, value, small, kind) =>
    element('div', { class: kind }, element('dt', {}, name), element('dd', {}, value, element('small', {}, small)));
  $('facts').replaceChildren(
    fact('Network', info.model, weights ? called(weights) : 'embedded'),
    fact('Size', `${amount(info.params)} parameters`, info.macs === null ? 'as many multiply-adds as its input asks for' : `${amount(info.macs)} multiply-adds for a picture`),
    fact('Input', info.input[1] ? `${info.input[1]} × ${info.input[2]} pixels` : 'of any size', classifies ? `${count(info.classes)} classes` : 'no classes'),
    fact('Ready in', ms(startup.total), `engine ${bytes(info.wasm_bytes)}`),
    fact('Of which', parts.map((part) => `${part.replace('_', ' ')} ${ms(startup[part])}`).join(' · '), 'The parts overlap. The first run comes after.', 'wide'));
}

async function reload(file) {
  // A camera's pictures need classes, and the new network may have none.
  if (camera && file) closeCamera();
  // With a network there, the choice was at fault, and another is needed.
  if (await attempt(() => load(file), net ? undefined : () => reload(file))) await look();
}

// Pictures

async function classify(input) {
  const first = net.info.startup.first_run === null;
  const start = performance.now();
  const classes = await net.classify(input, { top: 5 });
  // A file is decoded too, and a first run compiles what was left: neither is the time of a
  // picture.
  if (first) showFacts();
  else if (!(input instanceof Blob)) addTime(performance.now() - start);
  return classes;
}

function addTime(time) {
  times = [...times, time].slice(-RUNS);
  $('latency').textContent = ms(median(times));
  $('latency-note').textContent = times.length === 1 ? 'one run' : `median of the last ${times.length}`;
}

function showClasses(classes, live) {
  const list = $('classes');
  list.classList.toggle('live', live);
  while (list.childElementCount > classes.length) list.lastElementChild.remove();
  while (list.childElementCount < classes.length) {
    const track = element('span', { class: 'bar', 'aria-hidden': 'true' }, element('span'));
    list.append(element('li', {}, element('span'), element('span', { class: 'share' }), track));
  }
  classes.forEach(({ label, probability }, at) => {
    const [name, share, track] = list.children[at].children;
    name.textContent = label;
    share.textContent = percent(probability);
    track.firstElementChild.style.transform = `scaleX(${probability})`;
  });
}

const spoken = (classes) => classes.map(({ label, probability }) => `${label} ${percent(probability, 0)}`).join(', ');

/** Classifies what is shown, if anything is. */
const look = () => guard(async () => {
  if (!net || !source || camera) return;
  if (!classifies) return stepsAreOld();
  await inLine(async () => {
    const { blob, bitmap } = source;
    const classes = await classify(blob);
    showClasses(classes, false);
    $('status').textContent = spoken(classes.slice(0, 3));
    const end = performance.now() + REPEAT_MS;
    for (let run = 0; run < RUNS && (run === 0 || performance.now() < end); run++) await classify(bitmap);
  });
  mapsAreOld();
  stepsAreOld();
}, look);

async function open(blob, name) {
  closeCamera();
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob);
  } catch {
    throw new Error(`${name}: not an image that this browser can decode (${blob.type || 'unknown type'}, ${bytes(blob.size)})`);
  }
  const before = source;
  source = { blob, bitmap };
  // After what is still looking at it.
  if (before) inLine(() => before.bitmap.close());
  const picture = $('picture');
  URL.revokeObjectURL(picture.src);
  picture.src = URL.createObjectURL(blob);
  picture.alt = name;
  showPicture();
}

/** Shows the picture, if there is one. */
function showPicture() {
  show(source ? 'picture' : 'empty');
  pressSample($('picture').alt);
}

/** Marks the sample of this name, if it is one, as what is shown. */
function pressSample(name) {
  for (const button of $('samples').querySelectorAll('button')) button.setAttribute('aria-pressed', button.title === name);
}

/** Shows one of the three things on the stage. */
function show(id) {
  for (const other of ['picture', 'camera', 'empty']) $(other).hidden = other !== id;
}

/**
 * Opens a file that was chosen, dropped or pasted: weights by their name, anything else as a
 * picture.
 */
async function openFile(file) {
  if (/\.(safetensors|onnx)$/i.test(file.name)) await reload(file);
  else if (await attempt(() => open(file, file.name))) await look();
}

async function openSample(file, name) {
  const fetched = async () => {
    const response = await fetch(new URL(`../images/${file}`, import.meta.url));
    if (!response.ok) throw new Error(`${file}: the server answers ${response.status} ${response.statusText}`);
    await open(await response.blob(), name);
  };
  if (await attempt(fetched, () => openSample(file, name))) await look();
}

// The camera

function closeCamera() {
  camera?.close();
  camera = undefined;
  $('camera-button').textContent = 'Open the camera';
  $('camera-button').setAttribute('aria-pressed', 'false');
  showPicture();
}

/** Closes the camera and says of the picture that was there before what it is. */
function leaveCamera() {
  closeCamera();
  showClasses([], false);
  $('status').textContent = '';
  return look();
}

async function watch() {
  const video = $('camera');
  // Asking may take a while, and one camera is enough.
  $('camera-button').disabled = true;
  const close = await openCamera(video, leaveCamera).finally(() => ($('camera-button').disabled = false));
  const session = { close };
  camera = session;
  $('camera-button').textContent = 'Close the camera';
  $('camera-button').setAttribute('aria-pressed', 'true');
  pressSample();
  show('camera');
  let [mapped, said, best, lost] = [0, 0, '', 0];
  while (camera === session) {
    await nextFrame(video);
    if (camera !== session || !net) continue;
    try {
      const classes = await inLine(() => classify(video));
      if (camera !== session) break;
      showClasses(classes, true);
      // Whichever call told of a lost device, it is there again.
      if (told === 'GhostNetDeviceLost') $('error').hidden = true;
      lost = 0;
      const now = performance.now();
      if (now - mapped > MAPS_MS) {
        mapped = now;
        mapsAreOld();
        stepsAreOld();
      }
      // Not every frame is news.
      if (classes[0].label !== best && now - said > SPEAK_MS) {
        [said, best] = [now, classes[0].label];
        $('status').textContent = spoken(classes.slice(0, 1));
      }
    } catch (error) {
      // The next call opens a lost device again; a second loss at once is no accident.
      lost += 1;
      if (error.name !== 'GhostNetDeviceLost' || lost > 1) {
        leaveCamera();
        throw error;
      }
      showError(error);
    }
  }
}

// What is only worked out while it can be seen

/**
 * Gives the function that says that `section` is out of date. `fill` then runs as soon as the
 * section is in view.
 */
function whenSeen(section, fill) {
  let [seen, old, busy] = [false, false, false];
  const update = async () => {
    if (!seen || !old || busy) return;
    [old, busy] = [false, true];
    await fill();
    busy = false;
    update();
  };
  const observer = new IntersectionObserver((entries) => {
    seen = entries.at(-1).isIntersecting;
    update();
  }, { rootMargin: '200px' });
  observer.observe(section);
  return () => {
    old = true;
    update();
  };
}

const fillMaps = () => guard(async () => {
  if (!net || !source || $('ghosts').hidden) return;
  showMaps(await inLine(() => net.maps(camera ? $('camera') : source.bitmap, $('module').value)));
}, fillMaps);
const mapsAreOld = whenSeen($('ghosts'), fillMaps);

const measure = () => guard(async () => {
  $('measure').disabled = true;
  $('steps-note').textContent = 'Measuring…';
  try {
    showSteps(await inLine(() => net.profile()));
  } catch (error) {
    clearSteps();
    throw error;
  } finally {
    $('measure').disabled = false;
    $('measure').textContent = 'Measure again';
  }
}, measure);
let measured;
const stepsAreOld = whenSeen($('time'), () => {
  // Times do not depend on the picture.
  if (measured === net || $('time').hidden) return;
  measured = net;
  return measure();
});

// What people do

$('choose').addEventListener('click', () => $('file').click());
$('weights-button').addEventListener('click', () => $('weights').click());
for (const id of ['file', 'weights']) {
  $(id).addEventListener('change', ({ target }) => {
    const [file] = target.files;
    // The same file can be chosen again.
    target.value = '';
    if (file) id === 'file' ? openFile(file) : reload(file);
  });
}
$('imagenet').addEventListener('click', () => reload(IMAGENET));
$('hub').addEventListener('submit', (event) => {
  event.preventDefault();
  reload($('hub-id').value.trim());
});
$('embedded').addEventListener('click', () => reload());
for (const id of ['backend-choice', 'precision-choice']) $(id).addEventListener('change', () => reload(weights));
$('camera-button').addEventListener('click', () => (camera ? leaveCamera() : attempt(watch, watch)));
$('module').addEventListener('change', () => attempt(fillMaps));
$('measure').addEventListener('click', () => attempt(measure));
$('dismiss').addEventListener('click', () => {
  $('error').hidden = true;
  $('choose').focus();
});

document.addEventListener('paste', ({ clipboardData }) => {
  const [file] = clipboardData.files;
  if (file) openFile(file);
});
document.addEventListener('dragover', (event) => {
  event.preventDefault();
  $('drop').hidden = !event.dataTransfer.types.includes('Files');
});
document.addEventListener('dragleave', ({ relatedTarget }) => ($('drop').hidden = relatedTarget === null || $('drop').hidden));
document.addEventListener('drop', (event) => {
  event.preventDefault();
  $('drop').hidden = true;
  const [file] = event.dataTransfer.files;
  if (file) openFile(file);
});

$('samples').append(...SAMPLES.map(([file, name]) => {
  const image = element('img', { src: new URL(`../images/${file}`, import.meta.url).href, alt: name, loading: 'lazy' });
  const button = element('button', { type: 'button', title: name, 'aria-pressed': 'false' }, image);
  button.addEventListener('click', () => openSample(file, name));
  return element('li', {}, button);
}));

// `?backend=gpu` in the address, as people choose it on the page.
const wish = new URLSearchParams(location.search).get('backend');
if ([...$('backend-choice').options].some(({ value }) => value === wish)) asked.backend = $('backend-choice').value = wish;

// The network and a picture for it, both at once.
await Promise.all([reload(), openSample(...SAMPLES[0])]);
