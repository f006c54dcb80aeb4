// The roofline chart of benches/common/chart.rs: the roof and every layer below it, on logarithmic
// axes.

import { svg } from './dom.js';
import { bytes, number } from './format.js';

const [WIDTH, HEIGHT, MARGIN] = [1100, 700, 24];
/** Of a character at the size of the labels, by the widest of the usual sans-serif fonts. */
const CHARACTER = 7;
/** Points that get their names written: those that take most of the time. */
const NAMED = 8;

/** A logarithmic axis over pixels `from` to `to`. */
class Axis {
  constructor(values, from, to) {
    const positive = values.filter((value) => Number.isFinite(value) && value > 0);
    const [low, high] = [Math.min(...positive), Math.max(...positive)];
    [this.low, this.high] = low < high ? [low / 1.3, high * 1.3] : [0.1, 10];
    [this.from, this.to] = [from, to];
  }

  at(value) {
    return this.from + (Math.log(value / this.low) / Math.log(this.high / this.low)) * (this.to - this.from);
  }

  /** 1, 2 and 5 times each power of ten on the axis; fewer where that would crowd it. */
  ticks() {
    const [first, last] = [Math.floor(Math.log10(this.low)), Math.ceil(Math.log10(this.high))];
    const steps = Math.log10(this.high / this.low) < 3.5 ? [1, 2, 5] : [1];
    const powers = Array.from({ length: last - first + 1 }, (_, at) => 10 ** (first + at));
    return powers.flatMap((power) => steps.map((step) => step * power)).filter((value) => value >= this.low && value <= this.high);
  }
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** The chart of the JSON's `roofline` and `rows`. */
export function roofline(subtitle, roof, rows) {
  const points = rows.filter((row) => row.macs > 0 && row.gflops > 0)
    .map((row) => ({ ...row, intensity: (2 * row.macs) / row.bytes }))
    .sort((a, b) => b.share - a.share);
  const [left, right, top, bottom] = [MARGIN + 56, WIDTH - MARGIN - 8, MARGIN + 66, HEIGHT - MARGIN - 40];
  const x = new Axis(points.map((point) => point.intensity), left, right);
  const y = new Axis([...points.map((point) => point.gflops), roof.gflops], bottom, top);
  const parts = [];
  const write = (words, px, py, anchor, kind = '') =>
    parts.push(svg('text', { x: px.toFixed(1), y: py.toFixed(1), 'text-anchor': anchor, class: kind }, words));
  const line = (x1, y1, x2, y2, kind) =>
    parts.push(svg('line', { x1: x1.toFixed(1), y1: y1.toFixed(1), x2: x2.toFixed(1), y2: y2.toFixed(1), class: kind }));

  for (const value of x.ticks()) {
    line(x.at(value), top, x.at(value), bottom, 'grid');
    write(String(Number(value.toPrecision(6))), x.at(value), bottom + 14, 'middle', 'faint');
  }
  for (const value of y.ticks()) {
    line(left, y.at(value), right, y.at(value), 'grid');
    write(String(Number(value.toPrecision(6))), left - 6, y.at(value), 'end', 'faint');
  }
  write('operations per byte read or written', (left + right) / 2, bottom + 38, 'middle', 'axis');
  write('GFLOP/s', left, top - 14, 'end', 'axis');

  // What the roofs are called takes place too.
  const taken = [];
  const call = (words, at, middle, anchor) => {
    const from = at - (anchor === 'end' ? words.length * CHARACTER : 0);
    taken.push([from, from + words.length * CHARACTER, middle - 8, middle + 8]);
    write(words, at, middle, anchor);
  };

  // The roof of the largest copy and of the fastest: memory and cache.
  const most = (key) => roof.copies.reduce((best, copy) => (copy[key] > best[key] ? copy : best));
  const [fastest, largest] = [most('gb_per_s'), most('bytes')];
  for (const copy of new Set([fastest, largest])) {
    const ridge = clamp(roof.gflops / copy.gb_per_s, x.low, x.high);
    const start = Math.min(Math.max(x.low, y.low / copy.gb_per_s), ridge);
    const rising = (value) => Math.min(value * copy.gb_per_s, roof.gflops);
    line(x.at(start), y.at(rising(start)), x.at(ridge), y.at(rising(ridge)), 'roof');
    const place = Math.sqrt(start * ridge);
    const words = `${number(copy.gb_per_s)} GB/s, ${bytes(copy.bytes)} copied`;
    // Above the upper line, below the lower.
    if (copy === fastest) call(words, x.at(place) - 6, y.at(rising(place)) - 10, 'end');
    else call(words, x.at(place) + 6, y.at(rising(place)) + 10, 'start');
  }
  const ridge = clamp(roof.gflops / fastest.gb_per_s, x.low, x.high);
  line(x.at(ridge), y.at(roof.gflops), right, y.at(roof.gflops), 'roof');
  call(`${number(roof.gflops)} GFLOP/s from registers`, right, y.at(roof.gflops) - 12, 'end');

  const placed = points.map((point) => {
    const radius = 3 + Math.round(40 * Math.sqrt(Math.max(0, point.share)));
    return { ...point, px: x.at(point.intensity), py: y.at(point.gflops), radius };
  });
  // Large points first, so that small ones are not hidden.
  for (const { px, py, radius, kernel, name, gflops } of placed) {
    const tip = svg('title', {}, `${name}: ${number(gflops)} GFLOP/s`);
    parts.push(svg('circle', { cx: px.toFixed(1), cy: py.toFixed(1), r: radius, 'data-kernel': kernel }, tip));
  }
  // A name stands where it hides neither a point nor another name, or not at all.
  taken.push(...placed.map(({ px, py, radius }) => [px - radius, px + radius, py - radius, py + radius]));
  const names = [];
  for (const { name, px, py, radius } of placed.slice(0, NAMED)) {
    const long = name.length * CHARACTER;
    const beside = [px + radius + 4, px - radius - 4 - long].map((from) => [from, py]);
    const around = [24, 44, 64, 84, 104].flatMap((d) => [[px - long / 2, py - d], [px - long / 2, py + d]]);
    const free = ([from, middle]) =>
      from > left && from + long < right && middle - 8 > top && middle + 8 < bottom &&
      taken.every((t) => from > t[1] || from + long < t[0] || middle - 8 > t[3] || middle + 8 < t[2]);
    // A line to the point, where the name is not beside it, crosses no other name.
    const clear = ([, middle]) => names.every((t) => px < t[0] || px > t[1] || Math.max(middle, py) < t[2] || Math.min(middle, py) > t[3]);
    const place = [...beside, ...around].find((at) => free(at) && clear(at));
    if (!place) continue;
    const [from, middle] = place;
    const box = [from, from + long, middle - 8, middle + 8];
    taken.push(box);
    names.push(box);
    const toward = Math.sign(py - middle);
    if (toward) line(px, middle + 8 * toward, px, py - radius * toward, 'lead-line');
    write(name, from, middle, 'start');
  }

  let at = MARGIN;
  for (const kernel of new Set(placed.map((point) => point.kernel))) {
    parts.push(svg('circle', { cx: at + 6, cy: MARGIN, r: 6, 'data-kernel': kernel }));
    write(kernel, at + 18, MARGIN, 'start', 'axis');
    at += 36 + kernel.length * CHARACTER;
  }
  write('area: share of a run’s time', WIDTH - MARGIN, MARGIN, 'end', 'faint');
  return svg('svg', { class: 'chart', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': `Roofline of ${subtitle}` }, ...parts);
}
