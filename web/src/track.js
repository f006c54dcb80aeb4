// Tracks: which detection of a frame is the same thing as one of the frame before. It is ByteTrack
// (Zhang et al., ECCV 2022): detections of high scores are matched first, then those of low scores
// with the tracks left over, as what is half hidden has a low score. A place is predicted by a
// Kalman filter of constant velocity, with the noise that SORT's successors took (Wojke et al.,
// 2017). All of it counts in frames and in pixels, and it knows no browser.

/** Frames for which a track without a detection is kept. */
const BUFFER = 30;
/** How much a track and a detection must overlap, of high scores and of low ones. */
const [OVERLAP, OVERLAP_LOW] = [0.2, 0.5];
/** Noise of a place and of a velocity, as parts of the box's size. */
const [PLACE, VELOCITY] = [1 / 20, 1 / 160];

/** Low scores reach from this part of the threshold to the threshold. */
export const LOW = 0.2;

export class Tracker {
  #threshold;
  #tracks = [];
  #last = 0;

  /** Scores above `threshold` begin tracks, lower ones only carry them on. */
  constructor(threshold) {
    this.#threshold = threshold;
  }

  /**
   * A frame's detections, each with the number of its `track`, in their order. Those of low scores
   * that carry no track on are left out.
   */
  update(detections) {
    for (const track of this.#tracks) track.predict();
    const numbers = new Map();
    const matched = (pairs) => {
      for (const [track, detection] of pairs) {
        track.found(detection);
        numbers.set(detection, track.number);
      }
    };
    const isHigh = ({ score }) => score > this.#threshold;
    const high = detections.filter(isHigh);
    matched(match(this.#tracks, high, OVERLAP));
    // What was lost before comes back by a high score only.
    const rest = this.#tracks.filter(({ missed }) => missed === 1);
    matched(match(rest, detections.filter((detection) => !isHigh(detection)), OVERLAP_LOW));
    this.#tracks = this.#tracks.filter(({ missed }) => missed <= BUFFER);
    for (const detection of high) {
      if (numbers.has(detection)) continue;
      this.#last += 1;
      this.#tracks.push(new Track(this.#last, detection));
      numbers.set(detection, this.#last);
    }
    return detections.filter((detection) => numbers.has(detection)).map((detection) => ({ ...detection, track: numbers.get(detection) }));
  }
}

class Track {
  /** Frames since it was found. */
  missed = 0;
  /** Centre and size. */
  #coordinates;

  constructor(number, { index, box }) {
    this.number = number;
    this.index = index;
    const size = sizeOf(box);
    this.#coordinates = measured(box).map((value) => new Coordinate(value, size));
  }

  /** Where it is expected: left, top, right, bottom. */
  get box() {
    const [x, y, w, h] = this.#coordinates.map(({ value }) => value);
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2];
  }

  /** Goes on by a frame. */
  predict() {
    const size = sizeOf(this.box);
    // What is not seen keeps its size: none would make it grow for ever.
    if (this.missed > 0) for (const side of this.#coordinates.slice(2)) side.velocity = 0;
    for (const coordinate of this.#coordinates) coordinate.predict(size);
    this.missed += 1;
  }

  found({ box }) {
    const size = sizeOf(box);
    measured(box).forEach((value, at) => this.#coordinates[at].correct(value, size));
    this.missed = 0;
  }
}

const measured = ([x1, y1, x2, y2]) => [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1];
/** The mean of a box's sides. */
export const sizeOf = ([x1, y1, x2, y2]) => (x2 - x1 + y2 - y1) / 2;

/** A Kalman filter of a value and its velocity. */
class Coordinate {
  velocity = 0;
  /** Their variances, and between them their covariance. */
  #p;

  constructor(value, size) {
    this.value = value;
    this.#p = [(2 * PLACE * size) ** 2, 0, (10 * VELOCITY * size) ** 2];
  }

  predict(size) {
    const [place, both, velocity] = this.#p;
    this.value += this.velocity;
    this.#p = [place + 2 * both + velocity + (PLACE * size) ** 2, both + velocity, velocity + (VELOCITY * size) ** 2];
  }

  correct(value, size) {
    const [place, both, velocity] = this.#p;
    const variance = place + (PLACE * size) ** 2;
    const [gain, gainOfVelocity] = [place / variance, both / variance];
    const off = value - this.value;
    this.value += gain * off;
    this.velocity += gainOfVelocity * off;
    this.#p = [place * (1 - gain), both * (1 - gain), velocity - gainOfVelocity * both];
  }
}

/** The intersection of two boxes as a part of their union. */
export function overlap(a, b) {
  const w = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const h = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (!(w > 0 && h > 0)) return 0;
  const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);
  return (w * h) / (area(a) + area(b) - w * h);
}

/**
 * Pairs of a track and a detection of its class, no two with a common part, that overlap by more
 * than `least`. Of all such choices it is the one that overlaps most beyond that, in sum.
 */
function match(tracks, detections, least) {
  const gainsOf = (track) => detections.map(({ index, box }) => (index === track.index ? Math.max(0, overlap(track.box, box) - least) : 0));
  // Most tracks overlap with nothing else, and those of a crowd are many.
  const near = tracks.map((track) => ({ track, gains: gainsOf(track) })).filter(({ gains }) => gains.some((gain) => gain > 0));
  const columns = assign(near.map(({ gains }) => gains), detections.length);
  return near.flatMap(({ track, gains }, row) => (gains[columns[row]] > 0 ? [[track, detections[columns[row]]]] : []));
}

/**
 * The column of each row so that the sum of gains is largest, by the Hungarian method with
 * potentials, row by row along shortest paths. Each row may also take a column of its own behind
 * the last, where it gains nothing.
 */
function assign(gains, columns) {
  const [rows, all] = [gains.length, columns + gains.length];
  const [ofRow, ofColumn] = [new Float64Array(rows), new Float64Array(all)];
  const rowAt = new Int32Array(all).fill(-1);
  for (let first = 0; first < rows; first++) {
    const [best, from, done] = [new Float64Array(all).fill(Infinity), new Int32Array(all), new Uint8Array(all)];
    let [row, column] = [first, -1];
    do {
      if (column >= 0) done[column] = 1;
      let [step, next] = [Infinity, -1];
      for (let at = 0; at < all; at++) {
        if (done[at]) continue;
        const cost = -(gains[row][at] ?? 0) - ofRow[row] - ofColumn[at];
        if (cost < best[at]) [best[at], from[at]] = [cost, column];
        if (best[at] < step) [step, next] = [best[at], at];
      }
      ofRow[first] += step;
      for (let at = 0; at < all; at++) {
        if (done[at]) {
          ofRow[rowAt[at]] += step;
          ofColumn[at] -= step;
        } else {
          best[at] -= step;
        }
      }
      column = next;
      row = rowAt[column];
    } while (row >= 0);
    // Along the path each column gets the row of the one before.
    for (; column >= 0; column = from[column]) rowAt[column] = from[column] < 0 ? first : rowAt[from[column]];
  }
  const found = new Array(rows);
  rowAt.forEach((row, column) => { if (row >= 0) found[row] = column; });
  return found;
}
