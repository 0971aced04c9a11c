// What all dashboards have: data sources and identity as variables, links to each other, and actions as annotations.

import {
  AnnotationQueryBuilder, DashboardBuilder, DashboardCursorSync, DashboardLinkBuilder, DashboardLinkType, DatasourceVariableBuilder,
  QueryVariableBuilder, RowBuilder, VariableRefresh, VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { S } from './query.js';
import { DATASOURCE } from './panels.js';

export const TAG = 'headroom';

interface Choice {
  name: string;
  label: string;
  /** The metric and the label whose values it offers. */
  metric: string;
  of: string;
  /** One at a time, where a dashboard is about one thing. */
  single?: boolean;
}

function choice({ name, label, metric, of, single }: Choice): QueryVariableBuilder {
  const variable = new QueryVariableBuilder(name)
    .label(label)
    .datasource(DATASOURCE)
    .query({ query: `label_values(${metric}, ${of})`, refId: name })
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalAsc);
  if (single) return variable.multi(false).includeAll(false);
  // A label that is empty is left out: `.*` matches that too, what `All` would otherwise list does not.
  return variable.multi(true).includeAll(true).allValue('.*').current({ text: 'All', value: '$__all', selected: true });
}

const IN_CLUSTER = '{k8s_cluster_name=~"$cluster"}';
const IN_NAMESPACE = '{k8s_cluster_name=~"$cluster", service_namespace=~"$namespace"}';

export const CLUSTER: Choice = { name: 'cluster', label: 'Cluster', metric: 'headroom_service_requests_total', of: 'k8s_cluster_name' };
export const NAMESPACE: Choice = {
  name: 'namespace', label: 'Namespace', metric: `headroom_service_requests_total${IN_CLUSTER}`, of: 'service_namespace',
};
export const ENTRY: Choice = { name: 'entry', label: 'Endpoint', metric: `headroom_entry_requests_total${IN_NAMESPACE}`, of: 'entry' };
export const SERVICES: Choice = {
  name: 'service', label: 'Service', metric: `headroom_service_requests_total${IN_NAMESPACE}`, of: 'service_name',
};
export const INSTANCE: Choice = { name: 'instance', label: 'Replica of headroom', metric: 'headroom_build_info', of: 'instance' };

/**
 * The log of what was done: the value of each series is when. One series a service and action is exported, the last;
 * what it was before is in Prometheus.
 */
export const ACTIONS = 'headroom_service_last_action_timestamp_seconds';

/** Each action as a mark in every picture over time; the value is the time of the mark, in milliseconds. */
function actions(): AnnotationQueryBuilder {
  const series = `${ACTIONS}{k8s_cluster_name=~"$cluster", service_namespace=~"$namespace"}`;
  return new AnnotationQueryBuilder()
    .name('Actions')
    .datasource(DATASOURCE)
    .enable(true)
    .iconColor('orange')
    .expr(`max by (${S}, action, outcome, rule, verdict, from, to, k8s_pod_name) (${series}) * 1000`)
    .step('5s')
    .titleFormat('{{action}} {{service_name}} {{k8s_pod_name}} {{from}} to {{to}}')
    .textFormat('{{outcome}}, as it is {{verdict}}; by {{rule}}')
    .tagKeys('action,outcome')
    .useValueForTime(true);
}

interface Frame {
  uid: string;
  title: string;
  description: string;
  choices: Choice[];
  from?: string;
  refresh?: string;
}

export function dashboard({ uid, title, description, choices, from, refresh }: Frame): DashboardBuilder {
  return new DashboardBuilder(`headroom / ${title}`)
    .uid(uid)
    .description(description)
    .tags([TAG])
    .timezone('browser')
    .tooltip(DashboardCursorSync.Crosshair)
    .time({ from: from ?? 'now-15m', to: 'now' })
    .refresh(refresh ?? '5s')
    .readonly()
    .link(
      new DashboardLinkBuilder('headroom').type(DashboardLinkType.Dashboards).tags([TAG]).asDropdown(false).includeVars(true).keepTime(true),
    )
    .annotation(actions())
    .variables([
      new DatasourceVariableBuilder('datasource').label('Prometheus').type('prometheus'),
      ...choices.map(choice),
    ]);
}

export const row = (title: string): RowBuilder => new RowBuilder(title);
