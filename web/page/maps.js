// Feature maps of a ghost module, each intrinsic map beside the ghost derived from it.

import { $, element } from './dom.js';
import { median } from './format.js';

/** Pairs shown before somebody asks for all. */
const FEW = 12;

// Dark to light, so that it reads as brightness in any colour vision.
const STOPS = [[9, 20, 38], [0, 84, 140], [36, 141, 200], [140, 205, 242], [250, 252, 255]];
const RAMP = new Uint8ClampedArray(256 * 3).map((_, at) => {
  const place = (Math.floor(at / 3) / 255) * (STOPS.length - 1);
  const low = Math.min(STOPS.length - 2, Math.floor(place));
  const [from, to] = [STOPS[low][at % 3], STOPS[low + 1][at % 3]];
  return from + (to - from) * (place - low);
});

/** Pearson's; NaN where a map is flat. */
export function correlation(a, b) {
  const mean = (map) => map.reduce((sum, value) => sum + value, 0) / map.length;
  const [ma, mb] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i] - ma, b[i] - mb];
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  return ab / Math.sqrt(aa * bb);
}

/** Draws a map, its least value dark, its greatest light. */
function draw(canvas, map, width, height) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of map) [low, high] = [Math.min(low, value), Math.max(high, value)];
  const scale = high > low ? 255 / (high - low) : 0;
  const image = new ImageData(width, height);
  map.forEach((value, at) => {
    const colour = 3 * Math.round((value - low) * scale);
    image.data.set([RAMP[colour], RAMP[colour + 1], RAMP[colour + 2], 255], 4 * at);
  });
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext('2d').putImageData(image, 0, 0);
}

let shown;
let all = false;

/** Shows what `net.maps` gave. */
export function showMaps(maps) {
  shown = maps;
  const { intrinsic, ghost, width, height } = maps;
  // Of each intrinsic map, s - 1 ghosts.
  const each = Math.max(1, Math.ceil(ghost.length / intrinsic.length));
  const count = Math.max(intrinsic.length, ghost.length);
  const pair = (at) => [intrinsic[Math.floor(at / each)], ghost[at]];
  const r = Array.from({ length: count }, (_, at) => (ghost[at] ? correlation(...pair(at)) : NaN));

  const visible = all ? count : Math.min(count, FEW);
  const list = $('pairs');
  list.dataset.module = maps.name;
  while (list.childElementCount > visible) list.lastElementChild.remove();
  while (list.childElementCount < visible) {
    const caption = element('figcaption', {}, element('span'), element('span'));
    list.append(element('li', {}, element('figure', {}, element('canvas'), element('canvas'), caption)));
  }
  for (let at = 0; at < visible; at++) {
    const [left, right] = list.children[at].querySelectorAll('canvas');
    const [a, b] = pair(at);
    draw(left, a, width, height);
    right.classList.toggle('none', !b);
    draw(right, b ?? new Float32Array(width * height), width, height);
    const [number, likeness] = list.children[at].querySelectorAll('span');
    number.textContent = at + 1;
    likeness.textContent = !b ? 'no ghost' : Number.isNaN(r[at]) ? 'flat' : `r = ${r[at].toFixed(2).replace('-', '−')}`;
  }
  const known = r.filter((value) => !Number.isNaN(value));
  const alike = known.length ? `median |r| ${median(known.map(Math.abs)).toFixed(2)}` : 'all maps are flat';
  const note = `${intrinsic.length} intrinsic maps and ${ghost.length} ghosts of ${height} × ${width}; ${alike}`;
  if ($('maps-note').textContent !== note) $('maps-note').textContent = note;
  const more = $('more-pairs');
  more.hidden = count <= FEW;
  more.textContent = all ? `Show the first ${FEW} pairs` : `Show all ${count} pairs`;
}

$('more-pairs').addEventListener('click', () => {
  all = !all;
  showMaps(shown);
});
