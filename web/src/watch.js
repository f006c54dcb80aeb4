// Follows a video: what a detector finds in each frame, in tracks and smoothed. It is fetched when
// `watch` is first called.

import { pairs } from './detect.js';
import { drawnPixels, kind, readable } from './pictures.js';
import { Smoother } from './smooth.js';
import { abortable } from './start.js';
import { LOW, Tracker, sizeOf } from './track.js';

/** Of a video's `readyState`: it has the picture that it shows. */
const HAVE_CURRENT_DATA = 2;
/** Whose points a network for landmarks gives. */
const FACE = 'face';

/** Resolves when the watch is over, and rejects by what ended it. `stopping` is a controller. */
export async function watch(net, source, { landmarks, track = true, smooth = track, percentage, threshold, signal, onError, ...wanted }, onFrame, stopping) {
  const over = stopping.signal;
  const stop = () => stopping.abort();
  if (signal?.aborted) stop();
  signal?.addEventListener('abort', stop, { once: true, signal: over });
  try {
    over.throwIfAborted();
    const video = await playing(source, over);
    const next = frames(video, stop, over);
    const limit = threshold ?? net.info.threshold;
    const follow = new Follower(track && new Tracker(limit), smooth);
    const byFrame = [net, landmarks].some((one) => one?.info.takes_frames);
    const find = async (time) => {
      const begin = performance.now();
      // Both networks see one picture.
      const size = { width: video.videoWidth, height: video.videoHeight };
      const picture = byFrame ? await readable(video, () => new VideoFrame(video)) : await drawnPixels(video, { picture: video, ...size });
      const { displayWidth: width = size.width, displayHeight: height = size.height } = picture;
      try {
        const detections = follow.boxes(await net.detect(picture, { ...wanted, threshold: limit, low: track ? LOW : 1, signal: over }), time);
        const faces = landmarks ? detections.filter(({ label }) => label === FACE) : [];
        if (faces.length) follow.landmarks(faces, await landmarks.landmarks(picture, faces, { signal: over }), time);
        return { detections: percentage ? detections.map((found) => shares(found, width, height)) : detections, time, width, height, ms: performance.now() - begin };
      } finally {
        picture.close?.();
      }
    };
    for (let lost = 0; ;) {
      const time = await next();
      // Between two sources it shows nothing, and neither does it while it waits for a place.
      if (!video.videoWidth || video.readyState < HAVE_CURRENT_DATA) continue;
      try {
        const found = await find(time);
        over.throwIfAborted();
        lost = 0;
        onFrame(found);
      } catch (error) {
        // The next call opens a lost device again; a second loss at once is no accident.
        lost += 1;
        if (error?.name !== 'GhostNetDeviceLost' || lost > 1) throw error;
      }
    }
  } catch (error) {
    if (error !== over.reason) throw error;
  } finally {
    stop();
  }
}

/** A video that shows `source`: itself, or one that is made for a track. */
async function playing(source, over) {
  if (kind(source) === 'HTMLVideoElement') return source;
  const isTrack = kind(source).includes('MediaStreamTrack');
  if (!isTrack || source.kind !== 'video') throw new TypeError(`watch takes a video or a MediaStreamTrack of one, not ${isTrack ? `a track of ${source.kind}` : kind(source)}`);
  if (source.readyState === 'ended') throw new Error(`watch: the track ${source.label} has ended`);
  const video = Object.assign(document.createElement('video'), { muted: true, playsInline: true, srcObject: new MediaStream([source]) });
  over.addEventListener('abort', () => { video.srcObject = null; });
  await abortable(video.play(), over);
  return video;
}

/**
 * Gives `next`, which resolves to the time of a frame: the newest, if some came since the last
 * call. It rejects when the watch is over, which the end of the video's track brings about by
 * `stop`.
 */
function frames(video, stop, over) {
  let waiting, wake, handle, shown;
  const byFrame = 'requestVideoFrameCallback' in video;
  const ask = () => {
    handle = byFrame ? video.requestVideoFrameCallback(come) : requestAnimationFrame(come);
  };
  const come = (time) => {
    ask();
    if (video.readyState < HAVE_CURRENT_DATA) return;
    // A page is painted more often than a video changes.
    const isNew = byFrame || video.currentTime !== shown;
    shown = video.currentTime;
    if (!isNew || document.hidden || !video.videoWidth) return;
    waiting = time;
    wake?.();
  };
  ask();
  video.srcObject?.getVideoTracks?.()[0]?.addEventListener('ended', stop, { signal: over });
  // Nobody sees what came before the page was hidden.
  document.addEventListener('visibilitychange', () => { waiting = undefined; }, { signal: over });
  over.addEventListener('abort', () => (byFrame ? video.cancelVideoFrameCallback(handle) : cancelAnimationFrame(handle)));
  return async () => {
    over.throwIfAborted();
    if (waiting === undefined) await abortable(new Promise((resolve) => { wake = resolve; }), over);
    const time = waiting;
    waiting = wake = undefined;
    return time;
  };
}

/** Gives detections their tracks, and smooths their coordinates. */
class Follower {
  #tracker;
  /** One for boxes and their points, one for landmarks. */
  #smoothers;

  constructor(tracker, smooth) {
    this.#tracker = tracker;
    if (tracker && smooth) this.#smoothers = [new Smoother(), new Smoother()];
  }

  boxes(detections, time) {
    if (!this.#tracker) return detections;
    const tracked = this.#tracker.update(detections);
    for (const smoother of this.#smoothers ?? []) smoother.begin(time);
    for (const found of this.#smoothers ? tracked : []) {
      const smoothed = this.#smoothers[0].next(found.track, [...found.box, ...(found.points?.flat() ?? [])], sizeOf(found.box), time);
      found.box = smoothed.slice(0, 4);
      if (found.points) found.points = pairs(smoothed.slice(4));
    }
    return tracked;
  }

  landmarks(faces, all, time) {
    faces.forEach((face, at) => {
      face.landmarks = this.#smoothers ? pairs(this.#smoothers[1].next(face.track, all[at].flat(), sizeOf(face.box), time)) : all[at];
    });
  }
}

/** A detection in shares of the picture's width and height. */
function shares({ box, points, landmarks, ...found }, width, height) {
  const each = (all) => all.map(([x, y]) => [x / width, y / height]);
  return { ...found, box: each(pairs(box)).flat(), ...(points && { points: each(points) }), ...(landmarks && { landmarks: each(landmarks) }) };
}
