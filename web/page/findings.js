// Parts of the tables of what was measured: a row is one of the benchmark's JSON.

import { bar, element } from './dom.js';
import { number, percent } from './format.js';

const LEFT = ['Layer', 'Kernel', 'Shape', 'Case'];

export const head = (...names) =>
  element('thead', {}, element('tr', {}, ...names.map((name) => element('th', { scope: 'col', class: LEFT.includes(name) ? '' : 'right' }, name))));

export const right = (...children) => element('td', { class: 'right' }, ...children);

/** Its kernel, by colour and name. */
export const kernel = (row) => element('td', {}, element('span', { class: 'dot' }), row.kernel);

export const micro = (ms) => number(1000 * ms);

/** µs, p10 to p90. */
export const times = (row) => [right(micro(row.ms)), right(`${micro(row.p10_ms)} to ${micro(row.p90_ms)}`)];

/** GFLOP/s, GB/s. */
export const rates = (row) => [right(row.macs ? number(row.gflops) : '–'), right(number(row.gb_per_s))];

/** Of roof: what one looks for first, so that no narrow screen hides it. */
export const ofRoof = (row) =>
  right(element('span', { class: 'meter', 'aria-hidden': 'true' }, bar(Math.min(1, row.of_roof))), percent(row.of_roof, 0));
