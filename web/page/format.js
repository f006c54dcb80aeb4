// Numbers as cli/src/report/text.rs writes them.

/** Three significant digits: 0.0123, 1.23, 12.3, 1,234. */
export function number(value) {
  if (value === 0) return '0';
  if (!Number.isFinite(value)) return '–';
  if (Math.abs(value) >= 999.5) return count(Math.round(value));
  const digits = Math.min(5, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value)))));
  return value.toFixed(digits);
}

/** A whole number with its thousands apart. */
export const count = (value) => value.toLocaleString('en-US');

/** Of the words of detectors those whose plural is no rule's. */
const MANY = { bus: 'buses', knife: 'knives', mouse: 'mice', person: 'people', sheep: 'sheep' };

/** How many of something, as `2 faces`. */
export function counted(value, name) {
  const many = MANY[name] ?? (/(ss|x|ch|sh)$/.test(name) ? `${name}es` : name.endsWith('s') ? name : `${name}s`);
  return `${count(value)} ${value === 1 ? name : many}`;
}

/** As `a, b and c`. */
export const listed = (names) => [names.slice(0, -1).join(', '), names.at(-1)].filter(Boolean).join(' and ');

const scaled = (value, units) => {
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(value, 1)) / 3)));
  return `${power === 0 ? value : number(value / 1000 ** power)} ${units[power]}`;
};

export const bytes = (value) => scaled(value, ['B', 'kB', 'MB', 'GB']);
/** Parameters, multiply-adds. */
export const amount = (value) => scaled(value, ['', 'thousand', 'million', 'billion']).trim();
export const ms = (value) => (value >= 1000 ? `${number(value / 1000)} s` : `${number(value)} ms`);
export const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
