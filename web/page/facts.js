// What is said of a network.

import { $, element } from './dom.js';
import { amount, bytes, counted, listed, ms } from './format.js';

/** A network that tells apart no more is asked only what it knows. */
const FEW_CLASSES = 20;
export const isFew = ({ labels }) => labels.length > 0 && labels.length <= FEW_CLASSES;

/**
 * What a network of few classes knows, what a detector finds, and what becomes of a network for
 * landmarks beside it, by its name.
 */
export function knows(info, task, landmarks) {
  const { length } = info.labels;
  if (task === 'detect') {
    const found = isFew(info) ? listed(info.labels) : length ? counted(length, 'class') : 'what nobody named';
    return `This network finds: ${found}.${landmarks ? ` ${landmarks} gives points of each face.` : ''}`;
  }
  const other = landmarks ? `${landmarks} waits for a network that finds faces.` : '';
  return task && isFew(info) ? `This network knows ${length} things: ${listed(info.labels)}. Whatever else it sees, it takes for one of them. ${other}` : other;
}

/** Shows the figures of a network. `file` is where it comes from, and `landmarks` another beside it. */
export function showFacts(info, file, task, landmarks) {
  const { startup } = info;
  const parts = ['wasm', 'weights', 'device', 'upload', 'pipelines', 'first_run'].filter((part) => startup[part] !== null);
  const fact = (name, value, small, kind) =>
    element('div', { class: kind }, element('dt', {}, name), element('dd', {}, value, element('small', {}, small)));
  $('facts').replaceChildren(
    fact('Network', info.model, file),
    fact('Size', `${amount(info.params)} parameters`, info.macs === null ? 'as many multiply-adds as its input asks for' : `${amount(info.macs)} multiply-adds for a picture`),
    fact('Input', info.input[1] ? `${info.input[1]} × ${info.input[2]} pixels` : 'of any size', task ? counted(info.labels.length || info.classes, 'class') : 'no classes'),
    fact('Ready in', ms(startup.total), `engine ${bytes(info.wasm_bytes)}`),
    ...(landmarks ? [fact('Landmarks', landmarks, 'beside it, of each face')] : []),
    fact('Of which', parts.map((part) => `${part.replace('_', ' ')} ${ms(startup[part])}`).join(' · '), 'The parts overlap. The first run comes after.', 'wide'));
}

/**
 * The results of a network with their types and shapes: those of a run of zeros where its inputs
 * have one size, else what is known before.
 */
export async function results(net) {
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
