// What everything is drawn with: colours, text that is measured, and elements of SVG.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import opentype from 'opentype.js';

const require = createRequire(import.meta.url);
const file = (weight: string): string => require.resolve(`@expo-google-fonts/inter/${weight}/Inter_${weight}.ttf`);
export const FONTS = [file('400Regular'), file('500Medium'), file('600SemiBold')];
const parsed = FONTS.map((path) => {
  const bytes = readFileSync(path);
  return opentype.parse(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
});

/** Grafana's dark theme. */
export const INK = {
  page: '#111217',
  panel: '#181b1f',
  edge: '#2a2e34',
  grid: '#2b2f36',
  text: '#ccccdc',
  faint: '#8e8e9b',
  header: '#22252b',
};

const NAMED: Record<string, string> = {
  green: '#73bf69', 'dark-green': '#37872d', 'semi-dark-green': '#56a64b', 'light-green': '#96d98d',
  yellow: '#fade2a', 'dark-yellow': '#e0b400', 'semi-dark-yellow': '#f2cc0c',
  orange: '#ff9830', 'dark-orange': '#fa6400', 'semi-dark-orange': '#ff780a',
  red: '#f2495c', 'dark-red': '#c4162a', 'semi-dark-red': '#e02f44',
  blue: '#5794f2', 'dark-blue': '#1f60c4', 'light-blue': '#8ab8ff', 'semi-dark-blue': '#3274d9',
  purple: '#b877d9', 'dark-purple': '#8f3bb8', 'semi-dark-purple': '#a352cc', 'light-purple': '#ca95e5',
  text: INK.text, transparent: 'none',
};
export const colour = (name: string): string => NAMED[name] ?? name;

/** The first of Grafana's classic palette; the order of series decides. */
export const PALETTE = [
  '#7EB26D', '#EAB839', '#6ED0E0', '#EF843C', '#E24D42', '#1F78C1', '#BA43A9', '#705DA0', '#508642', '#CCA300', '#447EBC', '#C15C17',
  '#890F02', '#0A437C', '#6D1F62', '#584477', '#B7DBAB', '#F4D598', '#70DBED', '#F9BA8F', '#F29191', '#82B5D8', '#E5A8E2', '#AEA2E0',
];

type Weight = 400 | 500 | 600;
const fontOf = (weight: Weight): opentype.Font => parsed[weight === 400 ? 0 : weight === 500 ? 1 : 2]!;

/** Character by character: no ligatures, and no kerning, which is finer than what is decided by it. */
export function widthOf(text: string, size: number, weight: Weight = 400): number {
  const font = fontOf(weight);
  let units = 0;
  for (const character of text) units += font.charToGlyph(character).advanceWidth ?? 0;
  return (units / font.unitsPerEm) * size;
}

/** As much of it as fits, with a sign that there is more. */
export function fitted(text: string, size: number, width: number, weight: Weight = 400): string {
  if (widthOf(text, size, weight) <= width) return text;
  let kept = text;
  while (kept.length > 1 && widthOf(`${kept}…`, size, weight) > width) kept = kept.slice(0, -1);
  return kept.length > 1 ? `${kept.trimEnd()}…` : '';
}

/** In lines that fit, at blanks. */
export function wrapped(text: string, size: number, width: number, weight: Weight = 400): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && widthOf(`${last} ${word}`, size, weight) <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

export const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

/** A tenth of a pixel is finer than anybody sees. */
export const px = (value: number): string => `${Math.round(value * 10) / 10}`;

type Attributes = Record<string, string | number | undefined>;
const written = (attributes: Attributes): string =>
  Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}="${typeof value === 'number' ? px(value) : escaped(value!)}"`)
    .join('');

export const element = (name: string, attributes: Attributes, content = ''): string =>
  content === '' ? `<${name}${written(attributes)}/>` : `<${name}${written(attributes)}>${content}</${name}>`;

export const rectangle = (x: number, y: number, width: number, height: number, fill: string, more: Attributes = {}): string =>
  element('rect', { x, y, width: Math.max(0, width), height: Math.max(0, height), fill, ...more });

export const line = (x1: number, y1: number, x2: number, y2: number, stroke: string, more: Attributes = {}): string =>
  element('line', { x1, y1, x2, y2, stroke, ...more });

interface Writing {
  size?: number;
  fill?: string;
  weight?: Weight;
  anchor?: 'start' | 'middle' | 'end';
}

/** `y` is the baseline. */
export const write = (x: number, y: number, content: string, { size = 12, fill = INK.text, weight = 400, anchor = 'start' }: Writing = {}): string =>
  element('text', { x, y, 'font-size': size, fill, 'font-weight': weight, 'text-anchor': anchor === 'start' ? undefined : anchor }, escaped(content));
