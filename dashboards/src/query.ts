// How queries are written. Several replicas of headroom see the same spans and export the same series, so every query takes
// the maximum over them before it adds anything up.

import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus';

/** The labels that are a service's identity; empty ones are left out by headroom. */
export const S = 'k8s_cluster_name, service_namespace, service_name';

/** A service in a legend: what is left out of its identity leaves no trace. */
export const SERVICE = '{{service_name}} {{service_namespace}} {{k8s_cluster_name}}';

/** The series of a metric that the variables choose. */
export const chosen = (metric: string, ...more: string[]): string =>
  `${metric}{${['k8s_cluster_name=~"$cluster"', 'service_namespace=~"$namespace"', ...more].join(', ')}}`;

export const ofEntry = (metric: string, ...more: string[]): string => chosen(metric, 'entry=~"$entry"', ...more);
export const ofService = (metric: string, ...more: string[]): string => chosen(metric, 'service_name=~"$service"', ...more);

/** One value for each combination of these labels, whatever the number of replicas that tell it. */
export const once = (labels: string, series: string): string => `max by (${labels}) (${series})`;

export const rate = (series: string): string => `rate(${series}[$__rate_interval])`;

/** A state set as one number: the place of the state that holds in the list, each `[state, code]`. */
export const coded = (by: string, states: readonly (readonly [string, number])[], series: (state: string) => string): string =>
  `max${by === '' ? '' : ` by (${by})`} (${states.map(([state, code]) => `(${series(state)} > 0) * ${code}`).join(' or ')})`;

interface Asked {
  legend?: string;
  /** The answer at the end of the range alone. */
  instant?: boolean;
  table?: boolean;
  exemplars?: boolean;
}

export function query(refId: string, expr: string, { legend, instant, table, exemplars }: Asked = {}): DataqueryBuilder {
  const asked = new DataqueryBuilder().refId(refId).expr(expr);
  if (legend !== undefined) asked.legendFormat(legend);
  if (exemplars) asked.exemplar(true);
  if (table) asked.format(PromQueryFormat.Table);
  return instant || table ? asked.instant() : asked.range();
}
