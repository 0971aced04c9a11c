// Panels over time: lines, areas on top of each other, bars; thresholds, marks of actions, examples of traces, the legend.

import type { Panel } from '@grafana/grafana-foundation-sdk/dashboard';
import { max } from 'd3-array';
import { scaleLinear, scaleLog } from 'd3-scale';
import { area as areaOf, curveLinear, curveStepAfter, line as lineOf } from 'd3-shape';
import type { Answers } from './prometheus.js';
import { type Box, ticks, times } from './draw.js';
import type { Named } from './frames.js';
import { colour, element, fitted, INK, line, PALETTE, rectangle, widthOf, write } from './paper.js';
import { shown } from './units.js';

interface Drawn extends Named {
  colour: string;
  /** Lower and upper edge at each time; the lower is 0 unless stacked. */
  edges: [at: number, from: number, to: number][];
}

const ASIDE_LINE = 20;

export function course(panel: Panel, box: Box, series: Named[], answers: Answers): string {
  const { moment } = answers;
  const defaults = panel.fieldConfig!.defaults;
  const custom = defaults.custom as { stacking?: { mode: string }; thresholdsStyle?: { mode: string }; scaleDistribution?: { type: string }; drawStyle?: string; axisSoftMax?: number };
  const stacked = custom.stacking?.mode === 'normal';
  const drawn = coloured(series);
  stack(drawn, stacked);

  const legend = (panel.options as { legend: { showLegend: boolean; placement: string } }).legend;
  const aside = legend.showLegend && legend.placement === 'right';
  const asideWidth = aside ? Math.min(box.width * 0.44, widest(drawn) + 165) : 0;
  const beneath = legend.showLegend && !aside ? legendLines(drawn, box.width) : [];
  const axis = 20;
  const plotHeight = box.height - axis - beneath.length * 18 - (beneath.length > 0 ? 4 : 0);

  const steps = (defaults.thresholds?.steps ?? []).filter(({ value }) => value !== null);
  const lined = custom.thresholdsStyle !== undefined && custom.thresholdsStyle.mode !== 'off' ? steps : [];
  const highest = Math.max(
    max(drawn.flatMap(({ edges }) => edges.map(([, , to]) => to))) ?? 0,
    custom.axisSoftMax ?? 0,
    ...lined.map(({ value }) => value! * 1.1),
    1e-9,
  );
  const top = highest > 1e-6 ? highest : 1;
  const log = custom.scaleDistribution?.type === 'log';
  const lowest = Math.min(0, ...drawn.flatMap(({ edges }) => edges.map(([, , to]) => to)));
  const domain: [number, number] = [defaults.min ?? lowest, defaults.max ?? top * 1.02];
  const range: [number, number] = [box.y + plotHeight, box.y + 4];
  const y = log ? scaleLog([Math.max(domain[0], top / 1e4), domain[1]], range) : scaleLinear(domain, range).nice(5);
  const unit = defaults.unit;
  // Counts have no halves.
  const whole = defaults.decimals === 0;
  const many = plotHeight < 130 ? 3 : 5;
  const ticked = unit === 'bytes' || unit === 'binBps' ? binary(y.domain()[1]!, many) : log ? decades(y.domain() as [number, number]) : y.ticks(many);
  const marks = ticked.filter((tick) => !whole || Number.isInteger(tick));
  const labels = marks.map((tick) => shown(tick, unit, whole ? 0 : undefined, moment.to));
  const left = Math.max(...labels.map((label) => widthOf(label, 11)), 20) + 10;
  const right = box.x + box.width - asideWidth;
  const x = (at: number): number => box.x + left + ((at - moment.from) / (moment.to - moment.from)) * (right - box.x - left);

  const parts: string[] = [];
  marks.forEach((tick, index) => {
    parts.push(line(box.x + left, y(tick), right, y(tick), INK.grid));
    parts.push(write(box.x + left - 7, y(tick) + 4, labels[index]!, { size: 11, fill: INK.faint, anchor: 'end' }));
  });
  ticks(moment, right - box.x - left).forEach((at) => parts.push(line(x(at), box.y + 4, x(at), box.y + plotHeight, INK.grid)));
  parts.push(...times(moment, x, box.y + plotHeight + 15, right - box.x - left));
  for (const { value, color } of lined) {
    if (custom.thresholdsStyle!.mode.endsWith('area')) {
      const top = range[1];
      parts.push(rectangle(box.x + left, top, right - box.x - left, y(value!) - top, colour(color), { 'fill-opacity': '0.10' }));
    }
    parts.push(line(box.x + left, y(value!), right, y(value!), colour(color), { 'stroke-width': 1.6 }));
  }

  const clip = `clip${panel.id}`;
  parts.push(element('clipPath', { id: clip }, rectangle(box.x + left, box.y, right - box.x - left, plotHeight + 1, '#000')));
  const shapes = drawn.map((one) => shape(one, x, (value) => y(log ? Math.max(value, y.domain()[0]!) : value), custom.drawStyle === 'bars'));
  parts.push(element('g', { 'clip-path': `url(#${clip})` }, shapes.join('')));
  for (const [at, value] of answers.exemplars[panel.id!] ?? []) {
    if (at >= moment.from && at <= moment.to && value <= y.domain()[1]!) {
      const [cx, cy] = [x(at), y(value)];
      parts.push(element('path', { d: `M${cx.toFixed(1)},${(cy - 3.5).toFixed(1)}l3.5,3.5l-3.5,3.5l-3.5,-3.5z`, fill: '#5794f2', stroke: INK.panel }));
    }
  }
  parts.push(actions(answers, x, box.y + 4, box.y + plotHeight));
  parts.push(aside ? table(drawn, right + 12, box.y, asideWidth - 12, box.height, moment.to) : list(beneath, box.x + 4, box.y + plotHeight + axis + 14));
  return parts.join('');
}

/** Round numbers of bytes are those of KiB, MiB or GiB. */
function binary(highest: number, many: number): number[] {
  const by = 1024 ** Math.max(0, Math.floor(Math.log(Math.max(highest, 1)) / Math.log(1024)));
  return scaleLinear([0, highest / by], [0, 1]).ticks(many).map((tick) => tick * by);
}

const decades = ([lowest, highest]: [number, number]): number[] =>
  Array.from({ length: 13 }, (_, index) => 10 ** (index - 6)).filter((tick) => tick >= lowest && tick <= highest);

/** In the order of the palette, unless a field says otherwise. */
function coloured(series: Named[]): Drawn[] {
  return series.map((one, index) => {
    const fixed = one.field.color?.mode === 'fixed' ? one.field.color.fixedColor : undefined;
    return { ...one, colour: colour(fixed ?? PALETTE[index % PALETTE.length]!), edges: [] };
  });
}

function stack(drawn: Drawn[], stacked: boolean): void {
  const sums = new Map<number, number>();
  for (const one of drawn) {
    one.edges = one.points
      .filter(([, value]) => Number.isFinite(value))
      .map(([at, value]) => {
        const from = stacked ? (sums.get(at) ?? 0) : 0;
        if (stacked) sums.set(at, from + value);
        return [at, from, from + value];
      });
  }
}

function shape(one: Drawn, x: (at: number) => number, y: (value: number) => number, bars: boolean): string {
  const { custom } = one.field;
  const width = Number(custom['lineWidth'] ?? 1);
  const opacity = Number(custom['fillOpacity'] ?? 0) / 100;
  const gaps = broken(one.edges);
  if (bars) {
    const step = Math.min(...gaps.flatMap((part) => part.slice(1).map(([at], index) => at - part[index]![0])), 15);
    const wide = Math.max(3, (x(step) - x(0)) * 0.8);
    return one.edges.map(([at, from, to]) => rectangle(x(at) - wide / 2, y(to), wide, y(from) - y(to), one.colour, { 'fill-opacity': `${opacity}` })).join('');
  }
  const curve = custom['lineInterpolation'] === 'stepAfter' ? curveStepAfter : curveLinear;
  const dashed = (custom['lineStyle'] as { fill?: string } | undefined)?.fill === 'dash';
  return gaps
    .map((part) => {
      const stroke = lineOf<Drawn['edges'][number]>((edge) => x(edge[0]), (edge) => y(edge[2])).curve(curve).digits(1)(part) ?? '';
      const fill = areaOf<Drawn['edges'][number]>((edge) => x(edge[0]), (edge) => y(edge[1]), (edge) => y(edge[2])).curve(curve).digits(1)(part) ?? '';
      const below = opacity > 0 ? element('path', { d: fill, fill: one.colour, 'fill-opacity': `${opacity}` }) : '';
      return below + element('path', { d: stroke, fill: 'none', stroke: one.colour, 'stroke-width': width, 'stroke-dasharray': dashed ? '7 5' : undefined });
    })
    .join('');
}

/** Parts without a gap: a series that was not there for a while is not drawn through. */
function broken(edges: Drawn['edges']): Drawn['edges'][] {
  const distances = edges.slice(1).map(([at], index) => at - edges[index]![0]);
  const step = Math.min(...distances);
  const out: Drawn['edges'][] = [];
  edges.forEach((edge, index) => {
    if (index === 0 || distances[index - 1]! > step * 1.5) out.push([]);
    out.at(-1)!.push(edge);
  });
  return out;
}

/** Each action at its time: a dashed line, and a mark beneath it. */
function actions(answers: Answers, x: (at: number) => number, top: number, bottom: number): string {
  return answers.actions
    .map(({ at }) => {
      const place = x(at);
      const mark = element('path', { d: `M${place.toFixed(1)},${bottom.toFixed(1)}l-4.5,7l9,0z`, fill: colour('orange') });
      return line(place, top, place, bottom, colour('orange'), { 'stroke-dasharray': '3 3', 'stroke-opacity': '0.75' }) + mark;
    })
    .join('');
}

const widest = (drawn: Drawn[]): number => Math.max(...drawn.map(({ name }) => widthOf(name, 12)));

const last = (one: Drawn): number | undefined => one.points.findLast(([, value]) => !Number.isNaN(value))?.[1];

/** A legend with the last and the highest value of each. */
function table(drawn: Drawn[], x: number, y: number, width: number, height: number, now: number): string {
  const value = (raw: number | undefined, one: Drawn): string => (raw === undefined ? '-' : shown(raw, one.field.unit, one.field.decimals, now));
  const parts = [
    write(x, y + 10, 'Name', { size: 11, fill: INK.faint }),
    write(x + width - 70, y + 10, 'Last', { size: 11, fill: INK.faint, anchor: 'end' }),
    write(x + width - 4, y + 10, 'Max', { size: 11, fill: INK.faint, anchor: 'end' }),
  ];
  const room = Math.floor((height - 16) / ASIDE_LINE);
  drawn.slice(0, room).forEach((one, index) => {
    const base = y + 30 + index * ASIDE_LINE;
    const most = max(one.points.map(([, value]) => value).filter(Number.isFinite));
    parts.push(key(one, x, base));
    parts.push(write(x + 20, base, fitted(one.name, 12, width - 20 - 132)));
    parts.push(write(x + width - 70, base, value(last(one), one), { anchor: 'end', size: 11.5 }));
    parts.push(write(x + width - 4, base, value(most, one), { anchor: 'end', size: 11.5 }));
  });
  return parts.join('');
}

const key = (one: Drawn, x: number, base: number): string => {
  const dashed = (one.field.custom['lineStyle'] as { fill?: string } | undefined)?.fill === 'dash';
  return line(x, base - 4, x + 14, base - 4, one.colour, { 'stroke-width': 3.5, 'stroke-dasharray': dashed ? '4 2.5' : undefined });
};

function legendLines(drawn: Drawn[], width: number): Drawn[][] {
  const out: Drawn[][] = [[]];
  let used = 0;
  for (const one of drawn) {
    const needs = widthOf(one.name, 12) + 40;
    if (used + needs > width && out.at(-1)!.length > 0) {
      out.push([]);
      used = 0;
    }
    out.at(-1)!.push(one);
    used += needs;
  }
  return out.slice(0, 3);
}

function list(rows: Drawn[][], x: number, y: number): string {
  return rows
    .map((row, index) => {
      let at = x;
      return row
        .map((one) => {
          const part = key(one, at, y + index * 18) + write(at + 20, y + index * 18, one.name);
          at += widthOf(one.name, 12) + 40;
          return part;
        })
        .join('');
    })
    .join('');
}
