// Smooths what trembles, by the one-euro filter (Casiez et al., CHI 2012): a low pass whose cutoff
// grows with the speed. What rests is smoothed much, what moves follows at once. Speeds are in
// sizes of the box a second, so that a face nearby and one far away are smoothed alike.

/** Of what rests, in hertz; what a speed of one adds to it; and of the speed itself. */
const [CUTOFF, SLOPE, CUTOFF_OF_SPEED] = [0.3, 4, 1.5];
/** A track that was missing for longer, in milliseconds, begins anew. */
const AWAY = 500;

/** How much a new value counts after `seconds`. */
const share = (cutoff, seconds) => 1 / (1 + 1 / (2 * Math.PI * cutoff * seconds));

export class Smoother {
  #tracks = new Map();
  /** When the last frame was. */
  #frame;

  /**
   * The values of a track at a time, in milliseconds, smoothed: coordinates in pixels. They begin
   * anew where they are not as many as before. `size` is that of the track's box.
   */
  next(track, values, size, time) {
    const before = this.#tracks.get(track);
    const seconds = (time - before?.time) / 1000;
    const isNew = !(seconds > 0) || before.values.length !== values.length;
    const speeds = isNew
      ? values.map(() => 0)
      : values.map((value, at) => before.speeds[at] + share(CUTOFF_OF_SPEED, seconds) * ((value - before.values[at]) / Math.max(1, size) / seconds - before.speeds[at]));
    const smooth = isNew
      ? values
      : values.map((value, at) => before.smooth[at] + share(CUTOFF + SLOPE * Math.abs(speeds[at]), seconds) * (value - before.smooth[at]));
    this.#tracks.set(track, { time, values, speeds, smooth });
    return smooth;
  }

  /**
   * Begins a frame, and forgets the tracks that are away then. One that the last frame had is not,
   * however long ago that was.
   */
  begin(time) {
    for (const [track, before] of this.#tracks) if (before.time !== this.#frame && time - before.time > AWAY) this.#tracks.delete(track);
    this.#frame = time;
  }
}
