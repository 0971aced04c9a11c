// From answers to what a panel shows: series with names, and tables after the panel's transformations.

import type { Panel } from '@grafana/grafana-foundation-sdk/dashboard';
import { type Answer, text } from './prometheus.js';

/** What the field settings say of one series or column, defaults and overrides together. */
export interface Field {
  unit?: string;
  decimals?: number;
  min?: number;
  max?: number;
  color?: { mode: string; fixedColor?: string };
  mappings: { type: string; options: Record<string, { text?: string; color?: string }> }[];
  thresholds: { value: number | null; color: string }[];
  custom: Record<string, unknown>;
}

export interface Named {
  name: string;
  field: Field;
  points: [number, number][];
}

type Properties = { id: string; value: unknown }[];

export function fieldOf(panel: Panel, name: string): Field {
  const { defaults, overrides } = panel.fieldConfig!;
  const field: Field = {
    unit: defaults.unit,
    decimals: defaults.decimals,
    min: defaults.min ?? undefined,
    max: defaults.max ?? undefined,
    color: defaults.color as Field['color'],
    mappings: (defaults.mappings ?? []) as unknown as Field['mappings'],
    thresholds: (defaults.thresholds?.steps ?? []) as Field['thresholds'],
    custom: { ...(defaults.custom as Record<string, unknown>) },
  };
  for (const { matcher, properties } of overrides) {
    const pattern = String(matcher.options);
    const matches = matcher.id === 'byName' ? pattern === name : new RegExp(pattern.slice(1, pattern.lastIndexOf('/'))).test(name);
    if (matches) (properties as Properties).forEach(({ id, value }) => set(field, id, value));
  }
  return field;
}

function set(field: Field, id: string, value: unknown): void {
  if (id.startsWith('custom.')) field.custom[id.slice('custom.'.length)] = value;
  else if (id === 'thresholds') field.thresholds = (value as { steps: Field['thresholds'] }).steps;
  else if (id !== 'links') (field as unknown as Record<string, unknown>)[id] = value;
}

export function named(panel: Panel, answers: Answer[]): Named[] {
  return answers.flatMap(({ series, legend, expr }) =>
    series.map(({ labels, points }) => {
      const name = legend === undefined ? expr : text(legend, labels);
      return { name, field: fieldOf(panel, name), points };
    }),
  );
}

export const thresholdColour = (field: Field, value: number): string =>
  field.thresholds.findLast(({ value: from }) => from === null || value >= from)?.color ?? 'text';

export function mapped(field: Field, value: string | number): { text?: string; color?: string } | undefined {
  return field.mappings.find(({ type }) => type === 'value')?.options[`${value}`];
}

export interface Grid {
  columns: { name: string; field: Field; number: boolean }[];
  rows: (string | number | undefined)[][];
}

/** The transformations that the dashboards use, one after the other. */
export function grid(panel: Panel, answers: Answer[]): Grid {
  const only = answers.length === 1;
  // Prometheus in table format: a column a label, the time, and the value.
  let rows = answers.map(({ refId, series }) =>
    series.map(({ labels, points }): Record<string, string | number> => ({ ...labels, [only ? 'Value' : `Value #${refId}`]: points.at(-1)![1] })),
  );
  let names: string[] = [];
  for (const { id, options } of panel.transformations ?? []) {
    if (id === 'merge') rows = [merged(rows)];
    if (id === 'filterFieldsByName') names = (options as { include: { names: string[] } }).include.names;
    if (id === 'organize') {
      const { indexByName, renameByName } = options as { indexByName: Record<string, number>; renameByName: Record<string, string> };
      names = names.toSorted((a, b) => (indexByName[a] ?? 0) - (indexByName[b] ?? 0));
      const columns = names.map((name) => ({ name: renameByName[name] ?? name, field: fieldOf(panel, renameByName[name] ?? name), number: name.startsWith('Value') }));
      const cells = rows.flat().map((row) => names.map((name) => row[name]));
      return { columns, rows: sorted(panel, columns, cells) };
    }
  }
  throw new Error(`${panel.title}: a table without organize`);
}

/** As Grafana's `merge`: rows that agree in the columns that all frames have become one. */
function merged(frames: Record<string, string | number>[][]): Record<string, string | number>[] {
  const labels = frames.map((frame) => new Set(frame.flatMap((row) => Object.keys(row).filter((key) => !key.startsWith('Value')))));
  const filled = labels.filter((_, at) => frames[at]!.length > 0);
  const shared = [...(filled[0] ?? [])].filter((label) => filled.every((set) => set.has(label)));
  const out = new Map<string, Record<string, string | number>>();
  for (const row of frames.flat()) {
    const key = JSON.stringify(shared.map((label) => row[label] ?? null));
    out.set(key, { ...out.get(key), ...row });
  }
  return [...out.values()];
}

function sorted(panel: Panel, columns: Grid['columns'], rows: Grid['rows']): Grid['rows'] {
  const by = ((panel.options as { sortBy?: { displayName: string; desc?: boolean }[] }).sortBy ?? []).map(({ displayName, desc }) => {
    const at = columns.findIndex(({ name }) => name === displayName);
    if (at < 0) throw new Error(`${panel.title}: sorted by ${displayName}, which is no column`);
    return { at, sign: desc ? -1 : 1 };
  });
  const compare = (a: string | number | undefined, b: string | number | undefined): number =>
    a === b ? 0 : a === undefined ? 1 : b === undefined ? -1 : a < b ? -1 : 1;
  return rows.toSorted((a, b) => {
    for (const { at, sign } of by) {
      const order = compare(a[at], b[at]);
      if (order !== 0) return sign * order;
    }
    return 0;
  });
}
