// Asks Prometheus what Grafana would ask for a dashboard: each query of each panel, with the variables filled in.

import type { AnnotationQuery, Dashboard, Panel } from '@grafana/grafana-foundation-sdk/dashboard';

export interface Moment {
  /** Seconds since the Unix epoch. */
  from: number;
  to: number;
  /** Between two scrapes, in seconds. */
  scrape: number;
  /** What the variables of the dashboard stand for, as regular expressions; `.*` where nothing is given. */
  variables: Record<string, string>;
}

export interface Sampled {
  labels: Record<string, string>;
  /** Time in seconds, and value. */
  points: [number, number][];
}

export interface Answer {
  refId: string;
  expr: string;
  legend?: string;
  table: boolean;
  series: Sampled[];
  /** What Prometheus took, in milliseconds, as seen from here. */
  took: number;
}

/** What is drawn; no query is left to be asked. */
export interface Answers {
  moment: Moment;
  /** By the panel's number. */
  panels: Record<number, Answer[]>;
  exemplars: Record<number, [time: number, value: number][]>;
  actions: { at: number; title: string; text: string }[];
}

/** Grafana takes a point a pixel, and no finer than the scrapes. */
const PIXELS_A_COLUMN = 1600 / 24;
/** For a picture that nobody zooms into, one in eight is enough. */
const PIXELS_A_POINT = 8;

function stepOf(moment: Moment, columns: number, pixels: number): number {
  const exact = ((moment.to - moment.from) * pixels) / (columns * PIXELS_A_COLUMN);
  const nice = [1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600].find((step) => step >= exact) ?? 3600;
  return Math.max(nice, moment.scrape);
}

export function filled(expr: string, moment: Moment, step: number): string {
  const range = Math.round(moment.to - moment.from);
  const known: Record<string, string> = {
    __range: `${range}s`,
    __range_s: `${range}`,
    __interval: `${step}s`,
    __interval_ms: `${step * 1000}`,
    __rate_interval: `${Math.max(step + moment.scrape, 4 * moment.scrape)}s`,
    __from: `${moment.from * 1000}`,
    __to: `${moment.to * 1000}`,
  };
  return expr.replaceAll(/\$\{?(\w+)\}?/g, (whole, name: string) => {
    const value = known[name] ?? moment.variables[name] ?? (['cluster', 'namespace', 'entry', 'service', 'instance'].includes(name) ? '.*' : undefined);
    if (value === undefined) throw new Error(`${whole} in ${expr}: no such variable`);
    return value;
  });
}

interface Reply {
  status: string;
  error?: string;
  data: { result: { metric: Record<string, string>; value?: [number, string]; values?: [number, string][] }[] };
}

export class Prometheus {
  constructor(private readonly url: string) {}

  async get<T>(path: string, parameters: Record<string, string>): Promise<T> {
    const answer = await fetch(`${this.url}/api/v1/${path}?${new URLSearchParams(parameters)}`);
    const body = (await answer.json()) as { status: string; error?: string; data: T };
    if (body.status !== 'success') throw new Error(`${body.error}: ${parameters['query']}`);
    return body.data;
  }

  async ask(expr: string, moment: Moment, step: number | undefined): Promise<Sampled[]> {
    const time: Record<string, string> =
      step === undefined
        ? { time: `${moment.to}` }
        : { start: `${Math.ceil(moment.from / step) * step}`, end: `${moment.to}`, step: `${step}` };
    const data = await this.get<Reply['data']>(step === undefined ? 'query' : 'query_range', { query: expr, ...time });
    const series = data.result.map(({ metric, value, values }) => {
      const { __name__, ...labels } = metric;
      // A share of nothing is no number, and none is drawn.
      const points = (values ?? [value!]).map(([at, text]): [number, number] => [at, Number(text)]);
      return { labels, points: points.filter(([, number]) => Number.isFinite(number)) };
    });
    return series.filter(({ points }) => points.length > 0);
  }
}

interface Target {
  refId: string;
  expr: string;
  legendFormat?: string;
  format?: string;
  instant?: boolean;
  exemplar?: boolean;
}

export async function answers(dashboard: Dashboard, prometheus: Prometheus, moment: Moment): Promise<Answers> {
  const out: Answers = { moment, panels: {}, exemplars: {}, actions: [] };
  await prometheus.ask('vector(1)', moment, undefined); // the connection is not part of what a query takes
  for (const panel of (dashboard.panels ?? []) as Panel[]) {
    const columns = panel.gridPos?.w ?? 24;
    out.panels[panel.id!] = [];
    for (const target of (panel.targets ?? []) as unknown as Target[]) {
      const step = stepOf(moment, columns, target.instant ? 1 : PIXELS_A_POINT);
      const expr = filled(target.expr, moment, step);
      const began = performance.now();
      const series = await prometheus.ask(expr, moment, target.instant ? undefined : step);
      const took = performance.now() - began;
      const legend = target.legendFormat;
      out.panels[panel.id!]!.push({ refId: target.refId, expr, legend, table: target.format === 'table', series, took });
      if (target.exemplar) out.exemplars[panel.id!] = await exemplars(prometheus, expr, moment);
    }
  }
  for (const annotation of (dashboard.annotations?.list ?? []) as (AnnotationQuery & { step?: string })[]) {
    out.actions.push(...(await marks(prometheus, annotation, moment)));
  }
  out.actions.sort((a, b) => a.at - b.at || (a.title < b.title ? -1 : 1));
  return out;
}

async function exemplars(prometheus: Prometheus, expr: string, moment: Moment): Promise<[number, number][]> {
  // Of the selector alone, as Grafana asks for it.
  const selector = /\w+_bucket\{[^}]*\}/.exec(expr)?.[0];
  if (selector === undefined) return [];
  const found = await prometheus.get<{ exemplars: { timestamp: number; value: string; labels: Record<string, string> }[] }[]>('query_exemplars', {
    query: selector,
    start: `${moment.from}`,
    end: `${moment.to}`,
  });
  const all = found.flatMap(({ exemplars }) => exemplars.filter(({ labels }) => 'trace_id' in labels).map(({ timestamp, value }): [number, number] => [timestamp, Number(value)]));
  // As many as tell something: the slowest of each part of the range.
  const parts = new Map<number, [number, number]>();
  for (const one of all) {
    const part = Math.floor(((one[0] - moment.from) / (moment.to - moment.from)) * 40);
    const known = parts.get(part);
    if (known === undefined || one[1] > known[1]) parts.set(part, one);
  }
  return [...parts.values()].sort((a, b) => a[0] - b[0]);
}

export const text = (format: string, labels: Record<string, string>): string =>
  format.replaceAll(/\{\{\s*(\w+)\s*\}\}/g, (_, label: string) => labels[label] ?? '').replaceAll(/\s+/g, ' ').trim();

async function marks(prometheus: Prometheus, annotation: AnnotationQuery, moment: Moment): Promise<Answers['actions']> {
  const step = Number((annotation as unknown as { step: string }).step.replace('s', ''));
  const series = await prometheus.ask(filled(annotation.expr!, moment, step), moment, step);
  const found = new Map<string, Answers['actions'][number]>();
  for (const { labels, points } of series) {
    for (const [, value] of points) {
      const at = Math.floor(value) / 1000;
      if (at < moment.from || at > moment.to) continue;
      const mark = { at, title: text(annotation.titleFormat ?? '', labels), text: text(annotation.textFormat ?? '', labels) };
      found.set(`${at} ${mark.title}`, mark);
    }
  }
  return [...found.values()];
}
