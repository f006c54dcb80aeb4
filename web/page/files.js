// Files that people choose or drop: which is a network, which a card, which a picture.

import { GALLERY } from './gallery.js';

const stem = (name) => name.replace(/\.[^.]*$/, '').toLowerCase();
const isCard = ({ name }) => /\.json$/i.test(name);
const isNetwork = ({ name }) => /\.(safetensors|onnx)$/i.test(name);

/**
 * Sorts files: `networks`, each a `file` with its `card`, if it has one, the `card` that is left,
 * and the `picture`. A network's card is the one of its name, else the only one of an only network.
 * `waiting` is a card that came before.
 */
export function sorted(files, waiting) {
  const cards = files.filter(isCard);
  const networks = files.filter(isNetwork).map((file) => ({ file, card: cards.find(({ name }) => stem(name) === stem(file.name)) }));
  const left = cards.filter((card) => !networks.some((network) => network.card === card));
  if (networks.length === 1) networks[0].card ??= left.pop() ?? waiting;
  return { networks, card: left.at(-1), picture: files.find((file) => !isCard(file) && !isNetwork(file)) };
}

/** The card that the page has for a file, by its authors' name for it or by the card's. */
export function knownCard({ name }) {
  const known = GALLERY.find(({ card, file }) => card && [card, stem(file.split('/').pop())].includes(stem(name)));
  return known && new URL(`cards/${known.card}.json`, import.meta.url);
}

/** A card's task. A file that is no card is refused. */
export async function taskOf(file) {
  let card;
  try {
    card = JSON.parse(await file.text());
  } catch (cause) {
    throw new Error(`${file.name}: no JSON: ${cause.message}`, { cause });
  }
  if (typeof card?.task !== 'string') throw new Error(`${file.name}: no card: it has no task`);
  return card.task;
}
