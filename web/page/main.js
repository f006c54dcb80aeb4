// The page: a picture or the camera to classes or boxes, feature maps and timings.

import { cifar10 } from '../cifar10.js';
import { GhostNet } from '../ghostnet.js';
import { overlay } from './boxes.js';
import { nextFrame, openCamera } from './camera.js';
import { $, bar, element } from './dom.js';
import { isFew, knows, results, showFacts } from './facts.js';
import { knownCard, sorted, taskOf } from './files.js';
import { bytes, counted, median, ms, number, percent } from './format.js';
import { showGallery } from './gallery.js';
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
/** Detections that are listed; all are drawn. */
const LISTED = 5;
/** Whose points a network for landmarks gives. */
const FACE = 'face';
/** What knows ImageNet's classes. */
const IMAGENET = 'timm/ghostnet_100.in1k';
/** Runs whose median is shown. */
const RUNS = 30;
/** A still picture is run again for at most this many milliseconds, for that median. */
const REPEAT_MS = 300;
/** Between two looks at the maps of a moving picture, and two spoken results of it. */
const [MAPS_MS, SPEAK_MS] = [500, 3000];

let net;
/** What it does with pictures: `classify` or `detect`. ONNX files do not say how one becomes their
 * input; where there is no card either, it is undefined. */
let task = 'classify';
/** What it gives, where it does nothing with pictures. */
let gives = [];
/** The file or the hub's id that the weights came from; undefined for the embedded network. */
let weights;
/** Its card, if it came beside the weights, and one that came before its network. */
let [card, waiting] = [];
/** A network for landmarks of what `net` detects: `{ net, file, card }`. */
let marks;
const called = (weights) => weights?.name ?? weights ?? 'the network';
/** What `net` is looking at. */
let source;
/** The open camera: `{ close }`. */
let camera;
/** What `net` does with its pictures: `{ stop }`. */
let following;
const boxes = overlay($('boxes'));
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
    showError(error, error.name === 'GhostNetCrashed' ? reloadAll : again);
    areOld(false);
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

const load = (file, itsCard) => inLine(async () => {
  areOld(true);
  $('loading').hidden = false;
  $('loading-text').textContent = `Loading ${called(file)}…`;
  $('loading-progress').removeAttribute('value');
  const enable = (enabled) => {
    for (const choice of [...CHOICES.map($), ...$('gallery').querySelectorAll('button')]) choice.disabled = !enabled;
  };
  enable(false);
  for (const id of ['measure', 'module']) $(id).disabled = true;
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
    const loaded = await GhostNet.load({ weights: file ?? cifar10, card: itsCard, ...options, onProgress });
    const { info } = loaded;
    if (info.task === 'landmarks') {
      following?.stop();
      marks?.net.destroy();
      marks = { net: loaded, file, card: itsCard };
      if (net) tell();
      return;
    }
    const tried = () => loaded.classify(new ImageData(8, 8)).then(() => true, (error) => {
      if (error.name !== 'Error') throw error;
      return false;
    });
    const classifies = info.task !== 'detect' && info.classes > 0 && (!file || (await tried()));
    const does = info.task === 'detect' ? 'detect' : classifies ? 'classify' : undefined;
    const found = does ? [] : await results(loaded);
    following?.stop();
    net?.destroy();
    [net, weights, card, task, gives, times, asked] = [loaded, file, itsCard, does, found, [], options];
    boxes.clear();
    showNetwork();
  } finally {
    $('loading').hidden = true;
    enable(true);
    // What could not be loaded is not chosen either.
    [$('backend-choice').value, $('precision-choice').value] = [asked.backend, asked.precision];
    $('measure').disabled = $('module').disabled = !net;
  }
});

/** Takes the network for landmarks away. */
const dropMarks = () => inLine(() => {
  marks?.net.destroy();
  marks = undefined;
});

function showNetwork() {
  const { info } = net;
  $('adapter').textContent = info.adapter;
  const where = info.backend === 'gpu' ? 'GPU, through WebGPU' : 'CPU, in WebAssembly';
  $('backend').textContent = `${where}; ${info.precision}${info.fallback ? `. The GPU is not used: ${info.fallback}` : ''}`;
  $('latency').textContent = '–';
  $('latency-note').textContent = `median of the last ${RUNS}`;
  $('imagenet').hidden = Boolean(weights);
  const isAsked = ([, , label]) => !(task === 'classify' && isFew(info)) || info.labels.includes(label);
  for (const [at, sample] of SAMPLES.entries()) $('samples').children[at].hidden = !isAsked(sample);
  [$('gives').hidden, $('classes').hidden, $('none').hidden] = [Boolean(task), !task, true];
  $('outputs').replaceChildren(...gives.map((text) => element('li', {}, element('code', {}, text))));
  if (!task) {
    showClasses([], false);
    $('status').textContent = `Loaded ${info.model}`;
  }
  $('camera-button').disabled = !task;
  const names = net.modules();
  const modules = $('module');
  const chosen = modules.value;
  modules.replaceChildren(...names.map((name) => element('option', {}, name)));
  // The second block's expansion has more maps than the first's, and they are still large.
  modules.value = names.includes(chosen) ? chosen : names[Math.min(2, names.length - 1)];
  $('ghosts').hidden = !names.length || task !== 'classify';
  // What is timed is a run for a picture.
  $('time').hidden = !info.input[1];
  clearSteps();
  tell();
}

/** Says what the networks are. */
function tell() {
  const landmarks = marks?.net.info.model;
  $('knows').textContent = knows(net.info, task, landmarks);
  $('embedded').hidden = !(weights || marks);
  showFacts(net.info, weights ? called(weights) : 'embedded', task, landmarks);
}

/** Loads a network and looks with it; whether it was loaded. */
async function reload(file, itsCard) {
  // With a network there, the choice was at fault, and another is needed.
  if (!(await attempt(() => load(file, itsCard), net ? undefined : () => reload(file, itsCard)))) return false;
  // A camera's pictures need a network that does something with them.
  if (camera && !task) leaveCamera();
  else if (camera) guard(() => follow(camera));
  else await look();
  return true;
}

/** Loads what is there once more. */
async function reloadAll() {
  if ((await reload(weights, card)) && marks) await reload(marks.file, marks.card);
}

// Pictures

/** What `work` gives, whose time is shown. */
async function timed(input, work) {
  const first = net.info.startup.first_run === null;
  const start = performance.now();
  const found = await work(input);
  // A file is decoded too, and a first run compiles what was left: neither is the time of a
  // picture.
  if (first) tell();
  else if (!(input instanceof Blob)) addTime(performance.now() - start);
  return found;
}

const classify = (input) => timed(input, () => net.classify(input, { top: 5 }));

const detect = (input) => timed(input, async () => {
  const found = await net.detect(input);
  const faces = found.filter(({ label }) => marks && label === FACE);
  const points = faces.length ? await marks.net.landmarks(input, faces) : [];
  faces.forEach((face, at) => { face.landmarks = points[at]; });
  return found;
});

function addTime(time) {
  times = [...times, time].slice(-RUNS);
  $('latency').textContent = ms(median(times));
  $('latency-note').textContent = times.length === 1 ? 'one run' : `median of the last ${times.length}`;
}

/** Whether the classes are of what was there before. */
const areOld = (old) => $('classes').setAttribute('aria-busy', old);

function showClasses(classes, live) {
  const list = $('classes');
  areOld(false);
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

/** Shows what was found in a picture of a size. */
function showFound(found, size, live) {
  boxes.draw(found, size, live && $('camera').classList.contains('mirror'));
  const named = ({ label, track, score }) => ({ label: track ? `${label} ${track}` : label, probability: score });
  showClasses(found.slice(0, LISTED).map(named), live);
  $('none').hidden = found.length > 0;
  $('none').textContent = `Nothing with a score above ${percent(net.info.threshold, 0)}.`;
}

/** As `2 faces, 1 cat`. */
function counts(found) {
  const labels = found.map(({ label }) => label);
  return [...new Set(labels)].map((label) => counted(labels.filter((other) => other === label).length, label)).join(', ') || 'nothing found';
}

const spoken = (classes) => classes.map(({ label, probability }) => `${label} ${percent(probability, 0)}`).join(', ');

/** Classifies what is shown, or detects in it, if anything is. */
const look = () => guard(async () => {
  if (!net || !source || camera) return;
  if (!task) return stepsAreOld();
  areOld(true);
  await inLine(async () => {
    // Another network may have come meanwhile, and it is asked then.
    if (!task) return;
    const looked = source;
    const { blob, bitmap } = looked;
    const see = task === 'detect' ? detect : classify;
    const found = await see(blob);
    // Nobody wants to see it any more.
    if (source !== looked || camera) return;
    // Boxes are of what the package made of it: no side is longer than this.
    const shown = Math.min(1, 8192 / Math.max(bitmap.width, bitmap.height));
    if (task === 'detect') showFound(found, { width: bitmap.width * shown, height: bitmap.height * shown }, false);
    else showClasses(found, false);
    $('status').textContent = task === 'detect' ? counts(found) : spoken(found.slice(0, 3));
    const end = performance.now() + REPEAT_MS;
    for (let run = 0; run < RUNS && (run === 0 || performance.now() < end); run++) await see(bitmap);
  });
  mapsAreOld();
  stepsAreOld();
}, look);

async function open(blob, name) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob);
  } catch {
    throw new Error(`${name}: not an image that this browser can decode (${blob.type || 'unknown type'}, ${bytes(blob.size)})`);
  }
  closeCamera();
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
  boxes.clear();
  for (const other of ['picture', 'camera', 'empty']) $(other).hidden = other !== id;
}

/** Opens files that were chosen, dropped or pasted, by their names: networks, cards, a picture. */
async function openFiles(files) {
  const { networks, card: left, picture } = sorted([...files], waiting);
  for (const network of networks) {
    if (network.card === waiting) wait();
    await reload(network.file, network.card ?? knownCard(network.file));
  }
  if (left) await attempt(() => openCard(left));
  if (picture && (await attempt(() => open(picture, picture.name)))) await look();
}

/** Takes a card for the network that nobody said anything of, or else for the next. */
async function openCard(file) {
  const its = await taskOf(file);
  // A network that is on its way may be the one it is for.
  await inLine(() => {});
  if (task || !net) wait(file, its);
  else await reload(weights, file);
}

/** Keeps a card until its network comes; without one nothing is kept. */
function wait(file, its) {
  waiting = file;
  $('waits').textContent = file ? `${file.name} is a card (${its}). Now drop its network.` : '';
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
  following?.stop();
  camera?.close();
  camera = following = undefined;
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
  await follow(session);
}

/** Shows what the network that is there sees in the camera, until there is another. */
async function follow(session) {
  following?.stop();
  if (!net) return;
  if (task === 'detect') return followBoxes(session);
  const video = $('camera');
  let isOver = false;
  following = { stop: () => { isOver = true; } };
  let [mapped, said, best, lost] = [0, 0, '', 0];
  while (!isOver) {
    await nextFrame(video);
    if (isOver) break;
    try {
      const classes = await inLine(() => isOver || classify(video));
      if (isOver) break;
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

function followBoxes(session) {
  const shown = [];
  let [said, before] = [-SPEAK_MS, ''];
  let isFirst = net.info.startup.first_run === null;
  const onError = (error) => {
    leaveCamera();
    guard(() => { throw error; }, () => attempt(watch, watch));
  };
  following = net.watch($('camera'), { landmarks: marks?.net, onError }, (frame) => {
    if (camera !== session) return;
    showFound(frame.detections, frame, true);
    // The first run compiles what was left.
    if (isFirst) tell();
    else addTime(frame.ms);
    isFirst = false;
    shown.push(frame.time);
    if (shown.length > RUNS) shown.shift();
    if (times.length && shown.length > 1) $('latency-note').textContent += `; ${number((1000 * (shown.length - 1)) / (shown.at(-1) - shown[0]))} frames a second`;
    const now = performance.now();
    const text = counts(frame.detections);
    if (text === before || now - said < SPEAK_MS) return;
    [said, before] = [now, text];
    $('status').textContent = text;
  });
  stepsAreOld();
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
    const files = [...target.files];
    // The same file can be chosen again.
    target.value = '';
    openFiles(files);
  });
}
$('imagenet').addEventListener('click', () => reload(IMAGENET));
$('hub').addEventListener('submit', (event) => {
  event.preventDefault();
  reload($('hub-id').value.trim());
});
$('embedded').addEventListener('click', async () => {
  following?.stop();
  await dropMarks();
  if (await reload()) return;
  tell();
  if (camera) guard(() => follow(camera));
});
for (const id of ['backend-choice', 'precision-choice']) $(id).addEventListener('change', reloadAll);
$('camera-button').addEventListener('click', () => (camera ? leaveCamera() : attempt(watch, watch)));
$('module').addEventListener('change', () => attempt(fillMaps));
$('measure').addEventListener('click', () => attempt(measure));
$('dismiss').addEventListener('click', () => {
  $('error').hidden = true;
  $('choose').focus();
});

document.addEventListener('paste', ({ clipboardData }) => openFiles(clipboardData.files));
document.addEventListener('dragover', (event) => {
  event.preventDefault();
  $('drop').hidden = !event.dataTransfer.types.includes('Files');
});
document.addEventListener('dragleave', ({ relatedTarget }) => ($('drop').hidden = relatedTarget === null || $('drop').hidden));
document.addEventListener('drop', (event) => {
  event.preventDefault();
  $('drop').hidden = true;
  openFiles(event.dataTransfer.files);
});

$('samples').append(...SAMPLES.map(([file, name]) => {
  const image = element('img', { src: new URL(`../images/${file}`, import.meta.url).href, alt: name, loading: 'lazy' });
  const button = element('button', { type: 'button', title: name, 'aria-pressed': 'false' }, image);
  button.addEventListener('click', () => openSample(file, name));
  return element('li', {}, button);
}));

showGallery(reload, () => $('weights').click());

// `?backend=gpu` in the address, as people choose it on the page.
const wish = new URLSearchParams(location.search).get('backend');
if ([...$('backend-choice').options].some(({ value }) => value === wish)) asked.backend = $('backend-choice').value = wish;

// The network and a picture for it, both at once.
await Promise.all([reload(), openSample(...SAMPLES[0])]);
