// Service: one service in depth. From its state, over requests and time, to capacity, pods, callers and callees.

import { type DashboardBuilder, DashboardLinkBuilder, DashboardLinkType, DatasourceVariableBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import { actionLog } from './bottleneck.js';
import { CLUSTER, dashboard, NAMESPACE, SERVICES } from './frame.js';
import { verdictCodes, VERDICTS } from './look.js';
import { number, rows, series, states } from './panels.js';
import { chosen, coded, ofService, once, query, rate, S } from './query.js';

const codes = VERDICTS.map(({ verdict }, code) => [verdict, code] as const);
const now = (metric: string): string => `max (${ofService(metric)})`;
const perSecond = (metric: string): string => `sum (${once(S, rate(ofService(metric)))})`;

/** Means by pod or version: seconds spent by requests counted. */
const POD = `${S}, k8s_pod_name, service_version`;
const mean = (by: string, seconds: string): string =>
  `sum by (${by}) (${once(POD, rate(ofService(seconds)))}) / sum by (${by}) (${once(POD, rate(ofService('headroom_pod_requests_total')))})`;

/** Calls to the service: `callee` is its whole identity, of which the name is the last part. */
const calledBy = (metric: string): string => rate(chosen(metric, 'callee=~"(.*/)?($service)"'));
const CALL = `${S}, callee`;

export function service(): DashboardBuilder {
  const quantile = (q: number): string =>
    `histogram_quantile(${q}, max by (le) (${rate(ofService('headroom_service_request_duration_seconds_bucket'))}))`;
  return dashboard({
    uid: 'headroom-service',
    title: 'Service',
    description: 'One service in depth: its verdict, its requests, where its time goes, what it can bear, its pods, callers and callees.',
    choices: [CLUSTER, NAMESPACE, { ...SERVICES, single: true }],
  })
    .withVariable(new DatasourceVariableBuilder('traces').label('Traces').type('jaeger'))
    .link(
      new DashboardLinkBuilder('Traces of $service')
        .type(DashboardLinkType.Link)
        .icon('external link')
        .keepTime(true)
        .url(
          '/explore?schemaVersion=1&panes={"a":{"datasource":"${traces}","queries":[{"refId":"A","queryType":"search","service":"${service}"}],' +
            '"range":{"from":"${__from}","to":"${__to}"}}}',
        ),
    )
    .withPanel(
      number({
        title: 'Verdict', width: 4, height: 4, filled: true, empty: 'no requests', mappings: verdictCodes,
        description: 'Whether this service holds requests back now, and why.',
        queries: [query('A', coded('', codes, (verdict) => ofService('headroom_service_verdict', `verdict="${verdict}"`)), { instant: true })],
      }),
    )
    .withPanel(
      number({
        title: 'Requests', width: 3, height: 4, empty: 'none', unit: 'reqps', course: true, steps: [[null, 'text']],
        description: 'Requests that arrive each second.',
        queries: [query('A', now('headroom_service_arrivals_per_second'))],
      }),
    )
    .withPanel(
      number({
        title: 'p99', width: 3, height: 4, empty: 'none', unit: 's', course: true, steps: [[null, 'text']],
        description: 'Of its requests over the last seconds, with the time they waited to be taken.',
        queries: [query('A', now('headroom_service_p99_seconds'))],
      }),
    )
    .withPanel(
      number({
        title: 'Errors', width: 3, height: 4, empty: 'none', unit: 'percentunit', decimals: 1, course: true,
        description: 'Share of its requests that failed over the last seconds.',
        steps: [[null, 'green'], [0.01, 'orange'], [0.05, 'red']],
        queries: [query('A', now('headroom_service_error_ratio'))],
      }),
    )
    .withPanel(
      number({
        title: 'Headroom', width: 3, height: 4, empty: 'not learnt yet', unit: 'percentunit', decimals: 0,
        description: 'What is left of the capacity of the ready pods; below 0 more arrives than they serve. Learnt when the service was at its limit.',
        steps: [[null, 'red'], [0, 'orange'], [0.2, 'green']],
        queries: [query('A', now('headroom_service_headroom_ratio'), { instant: true })],
      }),
    )
    .withPanel(
      number({
        title: 'Ready', width: 2, height: 4, empty: '?', unit: 'none', steps: [[null, 'text']],
        description: 'Pods that are ready now.',
        queries: [query('A', now('headroom_service_replicas_ready'), { instant: true })],
      }),
    )
    .withPanel(
      number({
        title: 'Needed', width: 2, height: 4, empty: '?', unit: 'none', steps: [[null, 'text']],
        description: 'What the load asks for, with the reserve that headroom keeps.',
        queries: [query('A', now('headroom_service_replicas_needed'), { instant: true })],
      }),
    )
    .withPanel(
      number({
        title: 'A pod sustains', width: 2, height: 4, empty: '?', unit: 'reqps', decimals: 0, steps: [[null, 'text']],
        description: 'Requests each second that one pod served when it was at its limit; ? until that was seen.',
        queries: [query('A', now('headroom_service_capacity_per_pod_per_second'), { instant: true })],
      }),
    )
    .withPanel(
      number({
        title: 'Pod starts in', width: 2, height: 4, empty: '?', unit: 's', decimals: 0, steps: [[null, 'text']],
        description: 'Time from the creation of a pod to ready, of 95 in 100; ? until one was seen to start. No scaling acts faster.',
        queries: [query('A', now('headroom_service_pod_start_seconds'), { instant: true })],
      }),
    )
    .withPanel(
      states({
        title: 'Verdict over time', width: 12, height: 5, empty: 'no requests in this time', mappings: verdictCodes,
        description: 'Whether this service was a bottleneck, and why.',
        queries: [
          query('A', coded('service_name', codes, (verdict) => ofService('headroom_service_verdict', `verdict="${verdict}"`)), {
            legend: '{{service_name}}',
          }),
        ],
      }),
    )
    .withPanel(actionLog(12, 5, 'service_name=~"$service"'))
    .withPanel(
      series({
        title: 'Requests: served, failed, turned away', width: 8, height: 8, empty: 'no requests', unit: 'reqps', min: 0,
        description: 'Refused: turned away (503, 429). Abandoned: the caller gave up before an answer.',
        queries: [
          query('A', perSecond('headroom_service_requests_total'), { legend: 'served' }),
          query('B', perSecond('headroom_service_errors_total'), { legend: 'failed' }),
          query('C', perSecond('headroom_service_refused_requests_total'), { legend: 'refused' }),
          query('D', perSecond('headroom_service_abandoned_requests_total'), { legend: 'abandoned' }),
        ],
        looks: [['/^served$/', { colour: 'green' }], ['/^failed$/', { colour: 'red' }], ['/^refused$/', { colour: 'orange' }], ['/^abandoned$/', { colour: 'purple' }]],
      }),
    )
    .withPanel(
      series({
        title: 'Duration of requests', width: 8, height: 8, empty: 'no requests', unit: 's', min: 0,
        description: 'With the time a request waits to be taken. A dot is an example request: it opens the trace.',
        queries: [
          query('A', quantile(0.5), { legend: 'p50' }),
          query('B', quantile(0.9), { legend: 'p90' }),
          query('C', quantile(0.99), { legend: 'p99', exemplars: true }),
        ],
      }),
    )
    .withPanel(
      series({
        title: 'Time of a request: self, and waiting to be taken', width: 8, height: 8, empty: 'no requests', unit: 's', min: 0, stacked: true,
        description: 'Means. Waiting that grows with the load: too few replicas. Self time that grows at the same load: the service itself (a release, a pod).',
        queries: [
          query('A', now('headroom_service_mean_own_seconds'), { legend: 'self' }),
          query('B', now('headroom_service_mean_waiting_seconds'), { legend: 'waiting (queue, network)' }),
        ],
        looks: [['/^self$/', { colour: 'blue' }], ['/^waiting/', { colour: 'orange' }]],
      }),
    )
    .withPanel(
      series({
        title: 'Load against capacity', width: 8, height: 8, empty: 'no requests', unit: 'reqps', min: 0,
        description: 'Capacity is that of the ready pods, learnt when the service was at its limit; until then there is no line.',
        queries: [
          query('A', now('headroom_service_arrivals_per_second'), { legend: 'arrivals' }),
          query('B', now('headroom_service_throughput_per_second'), { legend: 'answered' }),
          query('C', now('headroom_service_capacity_per_second'), { legend: 'capacity' }),
        ],
        looks: [['/^capacity$/', { colour: 'red', dashed: true, stairs: true, width: 2 }], ['/^arrivals$/', { colour: 'blue' }], ['/^answered$/', { colour: 'green' }]],
      }),
    )
    .withPanel(
      series({
        title: 'Replicas: ready, ordered, needed', width: 8, height: 8, empty: 'not known', unit: 'none', decimals: 0, min: 0,
        description: 'Needed follows the load. Ordered is headroom’s last decision. Least and most are the bounds that its owner set. Ready pods that send no spans get no load.',
        queries: [
          query('A', now('headroom_service_replicas_ready'), { legend: 'ready' }),
          query('B', now('headroom_service_replicas'), { legend: 'had' }),
          query('C', now('headroom_service_replicas_wanted'), { legend: 'ordered' }),
          query('D', now('headroom_service_replicas_needed'), { legend: 'needed' }),
          query('E', now('headroom_service_replicas_min'), { legend: 'least' }),
          query('F', now('headroom_service_replicas_max'), { legend: 'most' }),
          query('G', now('headroom_service_pods_seen'), { legend: 'send spans' }),
        ],
        looks: [
          ['/^ready$/', { colour: 'green', width: 3, fill: 15, stairs: true }],
          ['/^had$/', { colour: 'blue', stairs: true }],
          ['/^ordered$/', { colour: 'orange', stairs: true }],
          ['/^needed$/', { colour: 'red', dashed: true, stairs: true }],
          ['/^send spans$/', { colour: 'purple', width: 1, stairs: true }],
          ['/^(least|most)$/', { colour: 'text', dashed: true, width: 1 }],
        ],
      }),
    )
    .withPanel(
      series({
        title: 'Concurrency of a pod', width: 8, height: 8, empty: 'no requests', unit: 'none', decimals: 1, min: 0,
        description: 'Requests in service at once, by pod. Pods that stay at the same height while waiting grows are at their limit.',
        queries: [
          query('A', once('k8s_pod_name', rate(ofService('headroom_pod_busy_seconds_total'))), { legend: '{{k8s_pod_name}}' }),
          query('B', now('headroom_service_concurrency_per_pod'), { legend: 'mean of the pods' }),
        ],
        looks: [['/^mean of the pods$/', { colour: 'text', dashed: true, width: 2 }]],
      }),
    )
    .withPanel(
      series({
        title: 'Self time by pod', width: 8, height: 8, empty: 'no pod sends spans', unit: 's', min: 0,
        description: 'Mean time of a request in each pod, without what it waits for. One pod far from its siblings is a bad pod.',
        queries: [query('A', mean('k8s_pod_name', 'headroom_pod_own_seconds_total'), { legend: '{{k8s_pod_name}}' })],
      }),
    )
    .withPanel(
      series({
        title: 'Self time by version', width: 8, height: 8, empty: 'no pod sends spans', unit: 's', min: 0,
        description: 'A new version above the old one at the same load is a regression.',
        queries: [query('A', mean('service_version', 'headroom_pod_own_seconds_total'), { legend: 'version {{service_version}}' })],
      }),
    )
    .withPanel(
      rows({
        title: 'Pods now', width: 8, height: 8, empty: 'no pod sends spans',
        description: 'Means over the last interval. A pod with few requests beside its siblings is new, or gets no load.',
        queries: [
          query('A', once('k8s_pod_name, service_version', rate(ofService('headroom_pod_requests_total'))), { table: true }),
          query('B', mean('k8s_pod_name, service_version', 'headroom_pod_own_seconds_total'), { table: true }),
          query('C', mean('k8s_pod_name, service_version', 'headroom_pod_waiting_seconds_total'), { table: true }),
          query('D', mean('k8s_pod_name, service_version', 'headroom_pod_errors_total'), { table: true }),
        ],
        columns: [
          { from: 'k8s_pod_name', name: 'Pod' },
          { from: 'service_version', name: 'Version', width: 75 },
          { from: 'Value #A', name: 'Requests', unit: 'reqps', decimals: 1, width: 95 },
          { from: 'Value #B', name: 'Self time', unit: 's', decimals: 1, width: 85 },
          { from: 'Value #C', name: 'Waiting', unit: 's', decimals: 1, width: 80 },
          { from: 'Value #D', name: 'Errors', unit: 'percentunit', decimals: 1, width: 70, steps: [[null, 'text'], [0.01, 'red']], coloured: 'text' },
        ],
        sort: [['Self time', 'desc']],
      }),
    )
    .withPanel(
      rows({
        title: 'Callers: who asks it', width: 8, height: 8, empty: 'nobody calls it, or callers send no spans',
        description: 'Time is as the caller waited, from its own span.',
        queries: [
          query('A', `sum by (service_name) (${once(CALL, calledBy('headroom_call_requests_total'))})`, { table: true }),
          query('B', `sum by (service_name) (${once(CALL, calledBy('headroom_call_seconds_total'))}) / sum by (service_name) (${once(CALL, calledBy('headroom_call_requests_total'))})`, { table: true }),
          query('C', `sum by (service_name) (${once(CALL, calledBy('headroom_call_errors_total'))}) / sum by (service_name) (${once(CALL, calledBy('headroom_call_requests_total'))})`, { table: true }),
        ],
        columns: [
          { from: 'service_name', name: 'Caller', link: true },
          { from: 'Value #A', name: 'Calls', unit: 'reqps', decimals: 1, width: 95 },
          { from: 'Value #B', name: 'Waits', unit: 's', decimals: 1, width: 85 },
          { from: 'Value #C', name: 'Errors', unit: 'percentunit', decimals: 1, width: 80, steps: [[null, 'text'], [0.01, 'red']], coloured: 'text' },
        ],
        sort: [['Calls', 'desc']],
      }),
    )
    .withPanel(
      rows({
        title: 'Callees: whom it asks', width: 8, height: 8, empty: 'it calls nobody that is seen',
        description: 'Services, databases and third parties. Time is as this service waited; the longest first.',
        queries: [
          query('A', once('callee', rate(ofService('headroom_call_requests_total'))), { table: true }),
          query('B', `${once('callee', rate(ofService('headroom_call_seconds_total')))} / ${once('callee', rate(ofService('headroom_call_requests_total')))}`, { table: true }),
          query('C', `${once('callee', rate(ofService('headroom_call_errors_total')))} / ${once('callee', rate(ofService('headroom_call_requests_total')))}`, { table: true }),
        ],
        columns: [
          { from: 'callee', name: 'Callee' },
          { from: 'Value #A', name: 'Calls', unit: 'reqps', decimals: 1, width: 95 },
          { from: 'Value #B', name: 'Waits', unit: 's', decimals: 1, width: 85 },
          { from: 'Value #C', name: 'Errors', unit: 'percentunit', decimals: 1, width: 80, steps: [[null, 'text'], [0.01, 'red']], coloured: 'text' },
        ],
        sort: [['Waits', 'desc']],
      }),
    )
    .withPanel(
      series({
        title: 'Wait for each callee', width: 8, height: 8, empty: 'it calls nobody that is seen', unit: 's', min: 0,
        description: 'Mean time of a call. One that rises alone is the dependency to look at.',
        queries: [
          query('A', `${once('callee', rate(ofService('headroom_call_seconds_total')))} / ${once('callee', rate(ofService('headroom_call_requests_total')))}`, { legend: '{{callee}}' }),
        ],
      }),
    )
    .withPanel(
      rows({
        title: 'Operations', width: 24, height: 6, empty: 'no requests',
        description: 'What it was asked for, the longest first.',
        queries: [
          query('A', once('operation', rate(ofService('headroom_operation_request_duration_seconds_count'))), { table: true }),
          query('B', `${once('operation', rate(ofService('headroom_operation_request_duration_seconds_sum')))} / ${once('operation', rate(ofService('headroom_operation_request_duration_seconds_count')))}`, { table: true }),
          query('C', `${once('operation', rate(ofService('headroom_operation_own_seconds_total')))} / ${once('operation', rate(ofService('headroom_operation_request_duration_seconds_count')))}`, { table: true }),
          query('D', `${once('operation', rate(ofService('headroom_operation_waiting_seconds_total')))} / ${once('operation', rate(ofService('headroom_operation_request_duration_seconds_count')))}`, { table: true }),
          query('E', `${once('operation', rate(ofService('headroom_operation_errors_total')))} / ${once('operation', rate(ofService('headroom_operation_request_duration_seconds_count')))}`, { table: true }),
        ],
        columns: [
          { from: 'operation', name: 'Operation' },
          { from: 'Value #A', name: 'Requests', unit: 'reqps', decimals: 1, width: 140 },
          { from: 'Value #B', name: 'Takes', unit: 's', decimals: 1, width: 140 },
          { from: 'Value #C', name: 'Self time', unit: 's', decimals: 1, width: 140 },
          { from: 'Value #D', name: 'Waiting', unit: 's', decimals: 1, width: 140 },
          { from: 'Value #E', name: 'Errors', unit: 'percentunit', decimals: 1, width: 140, steps: [[null, 'text'], [0.01, 'red']], coloured: 'text' },
        ],
        sort: [['Takes', 'desc']],
      }),
    );
}
