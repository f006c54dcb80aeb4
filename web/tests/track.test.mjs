// Tracks and smoothing, in Node.js without a browser.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Smoother } from '../src/smooth.js';
import { LOW, Tracker, overlap } from '../src/track.js';

const THRESHOLD = 0.5;
const at = (x, y, w = 40, h = 50, more = {}) => ({ label: 'face', index: 0, score: 0.9, box: [x, y, x + w, y + h], ...more });
/** The numbers of a frame's detections, in their order. */
const numbers = (tracker, ...detections) => tracker.update(detections).map(({ track }) => track);

describe('tracks', () => {
  test('two that cross without overlap keep their numbers over 60 frames', () => {
    const tracker = new Tracker(THRESHOLD);
    for (let frame = 0; frame < 60; frame++) {
      // One goes right, the other below it left: they pass each other with a gap of a few pixels.
      const pair = [at(20 + 7 * frame, 30), at(433 - 7 * frame, 84)];
      assert.equal(overlap(pair[0].box, pair[1].box), 0);
      // Detections come by their score, so that the order changes.
      const order = frame % 3 ? [0, 1] : [1, 0];
      assert.deepEqual(numbers(tracker, ...order.map((which) => pair[which])), frame === 0 ? [1, 2] : order.map((which) => (which ? 1 : 2)), `frame ${frame}`);
    }
  });

  test('a crowd that moves keeps its numbers, whatever the order', () => {
    const tracker = new Tracker(THRESHOLD);
    const crowd = (frame) => Array.from({ length: 25 }, (_, which) => at(60 * (which % 5) + 4 * frame, 70 * Math.floor(which / 5) + frame, 40, 50, { which }));
    const first = new Map(tracker.update(crowd(0)).map(({ which, track }) => [which, track]));
    assert.equal(new Set(first.values()).size, 25);
    for (let frame = 1; frame < 40; frame++) {
      const turned = crowd(frame);
      turned.push(...turned.splice(0, frame % 25));
      for (const { which, track } of tracker.update(turned)) assert.equal(track, first.get(which), `frame ${frame}`);
    }
  });

  test('missed frames keep the number, more than 30 do not', () => {
    for (const missed of [1, 5, 30, 31]) {
      const tracker = new Tracker(THRESHOLD);
      for (let frame = 0; frame < 10; frame++) numbers(tracker, at(100 + 3 * frame, 80));
      for (let frame = 0; frame < missed; frame++) assert.deepEqual(numbers(tracker), []);
      // It went on meanwhile.
      assert.deepEqual(numbers(tracker, at(100 + 3 * (10 + missed), 80)), [missed <= 30 ? 1 : 2], `${missed} missed`);
    }
  });

  test('a scene cut gives new numbers', () => {
    const tracker = new Tracker(THRESHOLD);
    for (let frame = 0; frame < 10; frame++) numbers(tracker, at(50, 50), at(300, 60));
    assert.deepEqual(numbers(tracker, at(160, 200), at(420, 150, 80, 90)), [3, 4]);
  });

  test('low scores carry tracks on and begin none', () => {
    const tracker = new Tracker(THRESHOLD);
    const faint = (x, score = THRESHOLD * LOW + 0.01) => at(x, 50, 40, 50, { score });
    assert.deepEqual(tracker.update([at(50, 50), faint(300)]).map(({ track }) => track), [1]);
    assert.deepEqual(numbers(tracker, faint(52), faint(300)), [1]);
    // A high one is taken before a low one that lies better.
    assert.deepEqual(tracker.update([at(60, 50), faint(54)]).map(({ track, score }) => [track, score]), [[1, 0.9]]);
    // What was lost comes back by a high score only.
    numbers(tracker);
    assert.deepEqual(numbers(tracker, faint(62)), []);
    assert.deepEqual(numbers(tracker, at(64, 50)), [1]);
  });

  test('another class is another thing', () => {
    const tracker = new Tracker(THRESHOLD);
    numbers(tracker, at(50, 50));
    assert.deepEqual(numbers(tracker, at(50, 50, 40, 50, { label: 'cat', index: 1 })), [2]);
  });

  test('of two that could change places the pair with the larger sum is taken', () => {
    const tracker = new Tracker(THRESHOLD);
    numbers(tracker, at(0, 0, 100, 100), at(60, 0, 100, 100));
    // The first overlaps most with the second's old place; taken for that, nothing would be left
    // for the other.
    assert.deepEqual(numbers(tracker, at(35, 0, 100, 100), at(110, 0, 100, 100)), [1, 2]);
  });

  test('boxes without an area, or none at all, are no trouble', () => {
    const tracker = new Tracker(THRESHOLD);
    for (let frame = 0; frame < 5; frame++) {
      const found = tracker.update([at(10, 10, 0, 0), at(NaN, 10)]);
      assert.equal(found.length, 2);
    }
    assert.deepEqual(numbers(tracker), []);
  });
});

describe('smoothing', () => {
  const FRAME = 1000 / 30;
  const std = (values) => {
    const mean = values.reduce((a, b) => a + b) / values.length;
    return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
  };

  test('what trembles at rest trembles less than half as much', () => {
    const smoother = new Smoother();
    // Some noise that is always the same, of 1 % of the size.
    const noise = (frame) => Math.sin(frame * 12.9898) + Math.cos(frame * 78.233);
    const raw = Array.from({ length: 60 }, (_, frame) => 200 + noise(frame));
    const smooth = raw.map((value, frame) => smoother.next(1, [value], 100, frame * FRAME)[0]);
    assert.ok(std(smooth) < std(raw) / 2, `${std(smooth)} of ${std(raw)}`);
  });

  test('a jump of half the size is followed within three frames, at 10 to 30 frames a second', () => {
    for (const rate of [10, 15, 30]) {
      const smoother = new Smoother();
      const follow = (frame) => smoother.next(1, [frame < 20 ? 100 : 150], 100, (frame * 1000) / rate)[0];
      const lags = Array.from({ length: 24 }, (_, frame) => (frame < 20 ? 100 : 150) - follow(frame));
      assert.ok(lags[22] < 2, `${rate} frames a second: ${lags.slice(20)}`);
    }
  });

  test('the same face near and far is smoothed alike', () => {
    const [near, far] = [new Smoother(), new Smoother()];
    for (let frame = 0; frame < 30; frame++) {
      const x = 50 + 10 * Math.sin(frame);
      const [a] = near.next(1, [4 * x], 400, frame * FRAME);
      const [b] = far.next(1, [x], 100, frame * FRAME);
      assert.ok(Math.abs(a - 4 * b) < 1e-9);
    }
  });

  test('tracks are smoothed apart, and one that was away begins anew', () => {
    const smoother = new Smoother();
    for (let frame = 0; frame < 10; frame++) {
      smoother.begin(frame * FRAME);
      assert.deepEqual(smoother.next(1, [10, 20], 100, frame * FRAME), [10, 20]);
      assert.deepEqual(smoother.next(2, [300, 5], 100, frame * FRAME), [300, 5]);
    }
    // The next frame comes late, and it alone is no reason.
    const late = 9 * FRAME + 600;
    smoother.begin(late);
    const [x, y] = smoother.next(1, [12, 21], 100, late);
    assert.ok(x > 10 && x < 12 && y > 20 && y < 21, `${x}, ${y}`);
    const later = late + 600;
    smoother.begin(later);
    assert.deepEqual(smoother.next(2, [290, 6], 100, later + FRAME), [290, 6]);
    // Points that a network could not give come back.
    assert.deepEqual(smoother.next(2, [], 100, later + 2 * FRAME), []);
    assert.deepEqual(smoother.next(2, [280, 7], 100, later + 3 * FRAME), [280, 7]);
    // Time that stands still is no division by zero.
    assert.deepEqual(smoother.next(1, [13, 22], 100, late), [13, 22]);
  });
});
