// Boxes, names, scores and points over a picture or video: a canvas as fine as the screen's pixels.

import { percent } from './format.js';

/** Of a class, by its number: colours that people of any sight tell apart, on dark and on light. */
const COLOURS = ['#56b4e9', '#e69f00', '#009e73', '#f0e442', '#cc79a7', '#d55e00', '#7aa6ff', '#c2c2c2'];
/** Around lines, so that they are seen on any picture. */
const HALO = 'rgb(0 0 0 / 60%)';

/**
 * What draws on `canvas`, which lies over all of a stage in which a picture is as large as fits.
 * `draw` takes detections, the picture's width and height, and whether it is mirrored. The boxes are
 * then too, and text can be read. `clear` takes away what was drawn.
 */
export function overlay(canvas) {
  let drawn;
  const draw = (...shown) => {
    drawn = shown;
    paint(canvas, ...shown);
  };
  const again = () => drawn && paint(canvas, ...drawn);
  new ResizeObserver(again).observe(canvas);
  // A zoomed page has other pixels under a canvas of the same size.
  addEventListener('resize', again);
  return {
    draw,
    clear() {
      drawn = undefined;
      fresh(canvas);
    },
  };
}

function paint(canvas, detections, { width, height }, mirrored) {
  const context = fresh(canvas);
  const { clientWidth, clientHeight } = canvas;
  const scale = Math.min(clientWidth / width, clientHeight / height);
  const [left, top] = [(clientWidth - scale * width) / 2, (clientHeight - scale * height) / 2];
  const place = ([x, y]) => [left + scale * (mirrored ? width - x : x), top + scale * y];
  context.lineJoin = 'round';
  // The best ones are drawn last, above the others.
  for (const { box, index, points, landmarks, ...found } of [...detections].reverse()) {
    const colour = COLOURS[index % COLOURS.length];
    const corners = [place(box.slice(0, 2)), place(box.slice(2))];
    const [x, y] = [Math.min(corners[0][0], corners[1][0]), corners[0][1]];
    const [w, h] = [Math.abs(corners[1][0] - corners[0][0]), corners[1][1] - y];
    for (const [line, style] of [[5, HALO], [2.5, colour]]) {
      Object.assign(context, { lineWidth: line, strokeStyle: style });
      context.strokeRect(x, y, w, h);
    }
    // Smaller in small faces, which would vanish behind them.
    dots(context, (points ?? []).map(place), Math.min(3, Math.max(1.5, w / 30)), colour);
    dots(context, (landmarks ?? []).map(place), Math.min(1.5, Math.max(0.75, w / 90)), colour);
    name(context, nameOf(found), [x, y], clientWidth, colour);
  }
}

/** What a box is called: its label, the number of its track, and its score. */
const nameOf = ({ label, track, score }) => `${label}${track ? ` ${track}` : ''} ${percent(score, 0)}`;

/** The canvas's context, empty, in which a unit is one of the page's. */
function fresh(canvas) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.round(side * devicePixelRatio));
  // Setting it empties it.
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext('2d');
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, width, height);
  context.scale(devicePixelRatio, devicePixelRatio);
  return context;
}

function dots(context, points, radius, colour) {
  for (const [more, style] of [[0.75, HALO], [0, colour]]) {
    context.fillStyle = style;
    for (const [x, y] of points) {
      context.beginPath();
      context.arc(x, y, radius + more, 0, 2 * Math.PI);
      context.fill();
    }
  }
}

/** A name above a box, or in it where there is no room above. */
function name(context, text, [x, y], width, colour) {
  const [height, space] = [20, 5];
  context.font = '600 13px system-ui, sans-serif';
  const length = context.measureText(text).width + 2 * space;
  const [left, top] = [Math.max(0, Math.min(x - 1, width - length)), y >= height ? y - height : Math.max(0, y)];
  context.fillStyle = colour;
  context.fillRect(left, top, length, height);
  // On each of the colours.
  Object.assign(context, { fillStyle: '#000', textBaseline: 'middle' });
  context.fillText(text, left + space, top + height / 2 + 0.5);
}
