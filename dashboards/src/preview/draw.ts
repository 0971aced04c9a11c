// A dashboard as a picture: its grid, and each panel in it as its kind is drawn. Nothing here asks, reads a clock, or
// draws by chance: the same dashboard and the same answers make the same picture.

import type { Dashboard, Panel } from '@grafana/grafana-foundation-sdk/dashboard';
import type { Answer, Answers, Moment } from './prometheus.js';
import { course } from './course.js';
import { grid, mapped, named, thresholdColour, type Field } from './frames.js';
import { colour, element, fitted, INK, rectangle, widthOf, write } from './paper.js';
import { hour, shown } from './units.js';

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

const WIDTH = 1600;
const MARGIN = 12;
const GAP = 8;
const ROW = 30;
const HEAD = 52;
const TITLE = 34;

export interface Placed {
  title: string;
  kind: string;
  box: Box;
}

/** Where each panel lies, in pixels: the same arithmetic as Grafana's. */
export function layout(dashboard: Dashboard): Placed[] {
  const column = (WIDTH - 2 * MARGIN + GAP) / 24;
  return (dashboard.panels as Panel[]).map((panel) => {
    const { x, y, w, h } = panel.gridPos!;
    const box = {
      x: MARGIN + x * column,
      y: HEAD + y * (ROW + GAP),
      width: w * column - GAP,
      height: h * (ROW + GAP) - GAP,
    };
    return { title: panel.title ?? '', kind: panel.type, box };
  });
}

export function picture(dashboard: Dashboard, answers: Answers, only?: (panel: Panel) => boolean): string {
  const placed = layout(dashboard);
  const bottom = Math.max(...placed.map(({ box }) => box.y + box.height)) + MARGIN;
  const { moment } = answers;
  const variables = (dashboard.templating.list ?? []).map(({ name, label }) => {
    const value = name === 'datasource' ? 'Prometheus' : name === 'traces' ? 'Jaeger' : (moment.variables[name] ?? 'All');
    return `${label ?? name}: ${value}`;
  });
  const parts = [
    rectangle(0, 0, WIDTH, bottom, INK.page),
    write(MARGIN + 4, 32, dashboard.title ?? '', { size: 18, weight: 500 }),
    write(MARGIN + 24 + widthOf(dashboard.title ?? '', 18, 500), 32, variables.join('     '), { size: 12, fill: INK.faint }),
    write(WIDTH - MARGIN - 4, 32, `${hour(moment.from, true)} to ${hour(moment.to, true)} UTC`, { size: 12, fill: INK.faint, anchor: 'end' }),
  ];
  (dashboard.panels as Panel[]).forEach((panel, at) => {
    if (only === undefined || only(panel)) parts.push(framed(panel, placed[at]!.box, answers));
  });
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${bottom}" viewBox="0 0 ${WIDTH} ${bottom}" font-family="Inter">` +
    `${parts.join('\n')}</svg>\n`
  );
}

function framed(panel: Panel, box: Box, answers: Answers): string {
  const inner = { x: box.x + 10, y: box.y + TITLE, width: box.width - 20, height: box.height - TITLE - 8 };
  const title = write(box.x + 10, box.y + 22, fitted(panel.title ?? '', 13.5, box.width - 20, 500), { size: 13.5, weight: 500 });
  return (
    rectangle(box.x, box.y, box.width, box.height, INK.panel, { stroke: INK.edge, rx: 2 }) +
    title +
    inside(panel, inner, answers.panels[panel.id!] ?? [], answers)
  );
}

function inside(panel: Panel, box: Box, data: Answer[], answers: Answers): string {
  const { moment } = answers;
  if (data.every(({ series }) => series.length === 0)) return panel.type === 'stat' ? big(empty(panel), 'text', box) : nothing(panel, box);
  switch (panel.type) {
    case 'timeseries': return course(panel, box, named(panel, data), answers);
    case 'state-timeline': return timeline(panel, box, data, moment);
    case 'stat': return value(panel, box, data, moment);
    case 'table': return cells(panel, box, data, moment);
    case 'bargauge': return bars(panel, box, data, moment);
    default: throw new Error(`${panel.title}: panels of kind ${panel.type} are not drawn`);
  }
}

const empty = (panel: Panel): string => panel.fieldConfig?.defaults.noValue ?? 'No data';

const nothing = (panel: Panel, box: Box): string =>
  write(box.x + box.width / 2, box.y + box.height / 2 + 4, empty(panel), { size: 14, fill: INK.faint, anchor: 'middle' });

const textOf = (field: Field, raw: number, now: number): { text: string; colour: string } => {
  const map = mapped(field, raw);
  return { text: map?.text ?? shown(raw, field.unit, field.decimals, now), colour: colour(map?.color ?? thresholdColour(field, raw)) };
};

function big(text: string, fill: string, box: Box): string {
  const size = [34, 30, 26, 22, 18, 15].find((size) => widthOf(text, size, 500) <= box.width - 8) ?? 13;
  return write(box.x + box.width / 2, box.y + box.height / 2 + size * 0.34, text, { size, weight: 500, fill: colour(fill), anchor: 'middle' });
}

function value(panel: Panel, box: Box, data: Answer[], moment: Moment): string {
  const [first] = named(panel, data);
  const last = first!.points.findLast(([, value]) => !Number.isNaN(value));
  if (last === undefined) return big(empty(panel), 'text', box);
  const { text, colour: fill } = textOf(first!.field, last[1], moment.to);
  const options = panel.options as { colorMode: string; graphMode: string };
  if (options.colorMode === 'background_solid') {
    return rectangle(box.x - 9, box.y - 6, box.width + 18, box.height + 13, fill, { rx: 2 }) + big(text, '#ffffff', box);
  }
  const graph = options.graphMode === 'area' ? spark(first!.points, fill, box, moment) : '';
  return graph + big(text, fill, graph === '' ? box : { ...box, height: box.height * 0.7 });
}

function spark(points: [number, number][], fill: string, box: Box, moment: Moment): string {
  const known = points.filter(([, value]) => Number.isFinite(value));
  const most = Math.max(...known.map(([, value]) => value));
  if (known.length < 2 || !(most > 0)) return '';
  const x = (at: number): number => box.x + ((at - moment.from) / (moment.to - moment.from)) * box.width;
  const y = (value: number): number => box.y + box.height - (value / most) * box.height * 0.35;
  const path = known.map(([at, value], index) => `${index === 0 ? 'M' : 'L'}${x(at).toFixed(1)},${y(value).toFixed(1)}`).join('');
  const floor = (box.y + box.height).toFixed(1);
  const area = `${path}L${x(known.at(-1)![0]).toFixed(1)},${floor}L${x(known[0]![0]).toFixed(1)},${floor}Z`;
  return element('path', { d: area, fill, 'fill-opacity': '0.15' }) + element('path', { d: path, fill: 'none', stroke: fill, 'stroke-width': '1.2' });
}

function timeline(panel: Panel, box: Box, data: Answer[], moment: Moment): string {
  const rows = named(panel, data);
  const label = Math.min(box.width * 0.28, Math.max(...rows.map(({ name }) => widthOf(name, 12))) + 14);
  const states = new Map<string, string>();
  const height = (box.height - 42) / rows.length;
  const x = (at: number): number => box.x + label + ((at - moment.from) / (moment.to - moment.from)) * (box.width - label);
  const parts: string[] = [];
  rows.forEach(({ name, field, points }, row) => {
    const top = box.y + row * height;
    parts.push(write(box.x + label - 10, top + height / 2 + 4, fitted(name, 12, label - 12), { anchor: 'end', fill: INK.text }));
    const step = stepIn(points, moment);
    for (const { from, to, value } of runs(points, step)) {
      const { text, colour: fill } = textOf(field, value, moment.to);
      const left = x(Math.max(from, moment.from));
      const width = x(Math.min(to, moment.to)) - left;
      states.set(text, fill);
      parts.push(rectangle(left, top + height * 0.08, Math.max(width, 1), height * 0.84, fill, { 'fill-opacity': '0.85' }));
      const shownText = fitted(text, 11.5, width - 8, 500);
      if (shownText === text) parts.push(write(left + 5, top + height / 2 + 4, text, { size: 11.5, weight: 500, fill: '#ffffff' }));
    }
  });
  parts.push(...times(moment, x, box.y + rows.length * height + 15, box.width - label));
  let at = box.x + 4;
  for (const [text, fill] of states) {
    parts.push(rectangle(at, box.y + box.height - 8, 14, 4, fill), write(at + 20, box.y + box.height - 2, text));
    at += widthOf(text, 12) + 40;
  }
  return parts.join('');
}

const stepIn = (points: [number, number][], moment: Moment): number =>
  Math.min(...points.slice(1).map(([at], index) => at - points[index]![0]), (moment.to - moment.from) / 20);

/** Values that follow each other without a gap, as one. */
function runs(points: [number, number][], step: number): { from: number; to: number; value: number }[] {
  const out: { from: number; to: number; value: number }[] = [];
  for (const [at, value] of points) {
    const last = out.at(-1);
    if (last !== undefined && last.value === value && at <= last.to + step * 0.5) last.to = at + step;
    else out.push({ from: at, to: at + step, value });
  }
  return out;
}

/** Names of times beneath an axis. */
export function times(moment: Moment, x: (at: number) => number, y: number, width: number): string[] {
  return ticks(moment, width).map((at) => write(x(at), y, hour(at, moment.to - moment.from < 1200), { size: 11, fill: INK.faint, anchor: 'middle' }));
}

export function ticks(moment: Moment, width: number): number[] {
  const range = moment.to - moment.from;
  const step = [10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600].find((step) => (range / step) * 75 <= width) ?? 7200;
  const first = Math.ceil((moment.from + range * 0.02) / step) * step;
  return Array.from({ length: 40 }, (_, index) => first + index * step).filter((at) => at <= moment.to - range * 0.02);
}

function cells(panel: Panel, box: Box, data: Answer[], moment: Moment): string {
  const { columns, rows } = grid(panel, data);
  const wanted = columns.map(({ field }) => field.custom['width'] as number | undefined);
  const fixed = wanted.reduce<number>((sum, width) => sum + (width ?? 0), 0);
  const free = wanted.filter((width) => width === undefined).length;
  const widths = wanted.map((width) => width ?? Math.max(60, (box.width - fixed) / free));
  const line = 30;
  const parts: string[] = [];
  let x = box.x;
  columns.forEach(({ name, number, field }, at) => {
    const width = widths[at]!;
    const right = number && field.unit?.startsWith('dateTime') !== true || field.custom['align'] === 'right';
    parts.push(write(right ? x + width - 8 : x + 6, box.y + 14, fitted(name, 12, width - 10, 500), { weight: 500, fill: INK.faint, anchor: right ? 'end' : 'start' }));
    rows.slice(0, Math.floor((box.height - 24) / line)).forEach((row, index) => {
      const raw = row[at];
      if (raw === undefined || raw === '') return;
      const top = box.y + 24 + index * line;
      const map = mapped(field, raw);
      const content = map?.text ?? (typeof raw === 'number' ? shown(raw, field.unit, field.decimals, moment.to) : raw);
      const style = field.custom['cellOptions'] as { type: string } | undefined;
      const fill = colour(map?.color ?? (typeof raw === 'number' && style !== undefined ? thresholdColour(field, raw) : 'text'));
      if (style?.type === 'color-background') parts.push(rectangle(x, top, width - 2, line - 2, fill));
      const ink = style?.type === 'color-text' ? fill : INK.text;
      parts.push(write(right ? x + width - 8 : x + 6, top + 19, fitted(content, 12.5, width - 12), { size: 12.5, fill: ink, anchor: right ? 'end' : 'start' }));
    });
    x += width;
  });
  rows.slice(0, Math.floor((box.height - 24) / line)).forEach((_, index) => {
    parts.push(element('line', { x1: box.x, x2: box.x + box.width, y1: box.y + 24 + index * line - 1, y2: box.y + 24 + index * line - 1, stroke: INK.edge }));
  });
  return parts.join('');
}

function bars(panel: Panel, box: Box, data: Answer[], moment: Moment): string {
  const rows = named(panel, data);
  const label = Math.max(...rows.map(({ name }) => widthOf(name, 12))) + 14;
  const height = Math.min(38, box.height / rows.length);
  const most = rows[0]!.field.max ?? Math.max(...rows.map(({ points }) => points.at(-1)![1]));
  return rows
    .map(({ name, field, points }, row) => {
      const raw = points.at(-1)![1];
      const { text, colour: fill } = textOf(field, raw, moment.to);
      const top = box.y + row * height;
      const full = box.width - label - 70;
      return (
        write(box.x + label - 10, top + height / 2 + 4, name, { anchor: 'end' }) +
        rectangle(box.x + label, top + 4, full, height - 8, INK.header) +
        rectangle(box.x + label, top + 4, full * Math.min(1, raw / most), height - 8, fill) +
        write(box.x + box.width, top + height / 2 + 5, text, { anchor: 'end', size: 13, fill })
      );
    })
    .join('');
}


