// Burst review: choose a time around a burst; each figure is then before, during and after it, beside the week before.

import type { DashboardBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import { actionLog, criticalPath, verdictsOverTime } from './bottleneck.js';
import { ACTIONS, CLUSTER, dashboard, ENTRY, NAMESPACE, SERVICES } from './frame.js';
import { number, rows, series } from './panels.js';
import { chosen, ofEntry, ofService, once, query, rate, S } from './query.js';

const E = `${S}, entry`;
const load = (offset = ''): string => `sum (${once(E, ofEntry('headroom_entry_requests_per_second') + offset)})`;
const missed = `max (${ofEntry('headroom_entry_objective_missed')})`;
const during = (expr: string): string => `(${expr})[$__range:$__interval]`;
const increase = (metric: string): string => `sum (${once(E, `increase(${ofEntry(metric)}[$__range])`)})`;

export function burst(): DashboardBuilder {
  return dashboard({
    uid: 'headroom-burst',
    title: 'Burst review',
    description: 'Choose a time that begins before a burst and ends after it: what came, what users felt, what was done and how fast, beside the week before.',
    choices: [CLUSTER, NAMESPACE, ENTRY, SERVICES],
    from: 'now-1h',
    refresh: '1m',
  })
    .withPanel(
      number({
        title: 'Peak load, times that before', width: 4, height: 4, empty: 'no requests', unit: 'suffix:x', decimals: 1, steps: [[null, 'text']],
        description: 'The highest load in the time shown, in parts of the load at its beginning.',
        queries: [query('A', `max_over_time(${during(load())}) / (${load(' offset $__range')})`, { instant: true })],
      }),
    )
    .withPanel(
      number({
        title: 'Requests that missed their objective', width: 4, height: 4, empty: '0', unit: 'short', decimals: 0, steps: [[null, 'green'], [1, 'orange']],
        description: 'Slow or failed, in the time shown.',
        queries: [query('A', increase('headroom_entry_missed_requests_total'), { instant: true })],
      }),
    )
    .withPanel(
      number({
        title: 'As a share of all', width: 4, height: 4, empty: '0 %', unit: 'percentunit', decimals: 2, steps: [[null, 'green'], [0.01, 'orange'], [0.05, 'red']],
        description: 'Requests that missed their objective, of all requests in the time shown.',
        queries: [query('A', `${increase('headroom_entry_missed_requests_total')} / ${increase('headroom_entry_requests_total')}`, { instant: true })],
      }),
    )
    .withPanel(
      number({
        title: 'Time with an objective missed', width: 4, height: 4, empty: '0 s', unit: 's', decimals: 0, steps: [[null, 'green'], [1, 'orange'], [300, 'red']],
        description: 'Of any of the chosen endpoints.',
        queries: [query('A', `sum_over_time(${during(missed)}) * $__interval_ms / 1000`, { instant: true })],
      }),
    )
    .withPanel(
      number({
        title: 'From the first miss to the first action', width: 4, height: 4, empty: 'no action', unit: 's', decimals: 0, steps: [[null, 'green'], [15, 'orange'], [60, 'red']],
        description: 'How long it took until headroom changed something; negative where it acted before an objective was missed.',
        queries: [
          query(
            'A',
            `min (min_over_time(${chosen(ACTIONS, 'outcome=~"done|observed"')}[$__range]) >= $__from / 1000) - min_over_time(${during(`timestamp(${missed} == 1)`)})`,
            { instant: true },
          ),
        ],
      }),
    )
    .withPanel(
      number({
        title: 'Replica-minutes', width: 4, height: 4, empty: 'not known', unit: 'short', decimals: 0, steps: [[null, 'text']],
        description: 'Ready pods of the chosen services, times minutes: what the time shown cost.',
        queries: [query('A', `sum (${once(S, `avg_over_time(${ofService('headroom_service_replicas_ready')}[$__range])`)}) * $__range_s / 60`, { instant: true })],
      }),
    )
    .withPanel(
      series({
        title: 'Load, beside the week before', width: 12, height: 8, empty: 'No requests in this time', unit: 'reqps', min: 0,
        description: 'Requests each second of the chosen endpoints. The dashed line is the same time a week earlier.',
        queries: [query('A', load(), { legend: 'now' }), query('B', load(' offset 7d'), { legend: 'a week before' })],
        looks: [['/^now$/', { colour: 'blue', fill: 20 }], ['/^a week before$/', { colour: 'text', dashed: true }]],
      }),
    )
    .withPanel(
      series({
        title: 'Requests that missed, beside the week before', width: 12, height: 8, empty: 'No requests in this time', unit: 'percentunit', min: 0, softMax: 0.05,
        description: 'Slow or failed requests as a share of all.',
        queries: [
          query('A', `sum (${once(E, rate(ofEntry('headroom_entry_missed_requests_total')))}) / sum (${once(E, rate(ofEntry('headroom_entry_requests_total')))})`, { legend: 'now' }),
          query('B', `sum (${once(E, `rate(${ofEntry('headroom_entry_missed_requests_total')}[$__rate_interval] offset 7d)`)}) / sum (${once(E, `rate(${ofEntry('headroom_entry_requests_total')}[$__rate_interval] offset 7d)`)})`, { legend: 'a week before' }),
        ],
        looks: [['/^now$/', { colour: 'red', fill: 20 }], ['/^a week before$/', { colour: 'text', dashed: true }]],
      }),
    )
    .withPanel(verdictsOverTime(12, 7))
    .withPanel(actionLog(12, 7, 'service_name=~"$service"'))
    .withPanel(
      rows({
        title: 'Services: before, at the peak, after, and the week before', width: 24, height: 8, empty: 'No requests in this time',
        description: 'Load is requests each second. Before is the beginning of the time shown, after its end.',
        queries: [
          query('A', once(S, ofService('headroom_service_arrivals_per_second') + ' offset $__range'), { table: true }),
          query('B', once(S, `max_over_time(${ofService('headroom_service_arrivals_per_second')}[$__range])`), { table: true }),
          query('C', once(S, ofService('headroom_service_arrivals_per_second')), { table: true }),
          query('D', once(S, `max_over_time(${ofService('headroom_service_arrivals_per_second')}[$__range] offset 7d)`), { table: true }),
          query('E', once(S, ofService('headroom_service_replicas_ready') + ' offset $__range'), { table: true }),
          query('F', once(S, `max_over_time(${ofService('headroom_service_replicas_ready')}[$__range])`), { table: true }),
          query('G', once(S, ofService('headroom_service_replicas_ready')), { table: true }),
          query('H', once(S, `max_over_time(${ofService('headroom_service_mean_waiting_seconds')}[$__range])`), { table: true }),
          query('I', once(S, `max_over_time(${ofService('headroom_service_error_ratio')}[$__range])`), { table: true }),
        ],
        columns: [
          { from: 'service_name', name: 'Service', link: true },
          { from: 'Value #A', name: 'Load before', unit: 'reqps', decimals: 1, width: 130 },
          { from: 'Value #B', name: 'Peak load', unit: 'reqps', decimals: 1, width: 130 },
          { from: 'Value #C', name: 'Load after', unit: 'reqps', decimals: 1, width: 130 },
          { from: 'Value #D', name: 'Peak a week before', unit: 'reqps', decimals: 1, width: 150 },
          { from: 'Value #E', name: 'Ready before', decimals: 0, width: 110 },
          { from: 'Value #F', name: 'Most ready', decimals: 0, width: 100 },
          { from: 'Value #G', name: 'Ready after', decimals: 0, width: 100 },
          { from: 'Value #H', name: 'Longest wait', unit: 's', decimals: 1, width: 110, steps: [[null, 'text'], [0.1, 'orange'], [0.5, 'red']], coloured: 'text' },
          { from: 'Value #I', name: 'Most errors', unit: 'percentunit', decimals: 1, width: 110, steps: [[null, 'text'], [0.01, 'orange'], [0.05, 'red']], coloured: 'text' },
        ],
        sort: [['Longest wait', 'desc']],
      }),
    )
    .withPanel(criticalPath(12, 9))
    .withPanel(
      series({
        title: 'Ready replicas by service', width: 12, height: 9, empty: 'not known', unit: 'none', decimals: 0, min: 0, stacked: true, legendAside: true,
        description: 'What the burst cost: pods that were ready, added up.',
        queries: [query('A', once('service_name, service_namespace', ofService('headroom_service_replicas_ready')), { legend: '{{service_name}} {{service_namespace}}' })],
        looks: [['/.*/', { stairs: true }]],
      }),
    );
}
