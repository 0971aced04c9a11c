// Bottleneck now: what is slow, why, and what was done. Read from the top left, in that order.

import type { DashboardBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import { ACTIONS, CLUSTER, dashboard, ENTRY, NAMESPACE, SERVICES } from './frame.js';
import { actionTexts, outcomeTexts, verdictCodes, VERDICTS, verdictTexts, verdictWords, words } from './look.js';
import { number, rows, series, states } from './panels.js';
import { chosen, coded, ofEntry, once, query, rate, S, SERVICE } from './query.js';

const CAUSE = `${S}, verdict, k8s_pod_name, peer, caller, service_version`;
const cause = ofEntry('headroom_bottleneck', 'service_name=~"$service"');
/** What is told of a cause beside its name, with all that it is tied to. */
const causeWith = (metric: string): string =>
  once(CAUSE, `${cause} * on (${S}, entry, verdict) group_left () ${once(`${S}, entry, verdict`, ofEntry(metric, 'service_name=~"$service"'))}`);
/** What the cause is tied to, in one column. */
const where = (expr: string): string =>
  // Each with the word that says what it is; of an amplification the version is the caller's.
  [
    ['version $1', 'service_version', '(.+)'],
    ['asked by $1', 'asker', '([^ ].*)'],
    ['waits for $1', 'peer', '(.+)'],
    ['pod $1', 'k8s_pod_name', '(.+)'],
  ].reduce(
    (inner, [text, label, pattern]) => `label_replace(${inner}, "where", "${text}", "${label}", "${pattern}")`,
    `label_join(${expr}, "asker", " ", "caller", "service_version")`,
  );
const STATUSES = [['met', 0], ['at_risk', 1], ['missed', 2]] as const;
const codes = VERDICTS.map(({ verdict }, code) => [verdict, code] as const);

/** Services that were a bottleneck in the range: the others would only stand in the way. */
const concerned = `and on (${S}) max by (${S}) (max_over_time(${cause}[$__range] @ end()))`;
const of = (metric: string): string => `${once(S, chosen(metric, 'service_name=~"$service"'))} ${concerned}`;

const ACTION = `${S}, action, outcome, rule, verdict, from, to, k8s_pod_name`;

export const actionLog = (width: number, height: number, ...more: string[]) =>
  rows({
    title: 'What was done',
    description:
      'Each action of the time shown, newest first: what headroom changed, or whom it told, and for which verdict. “only observed” is what it ' +
      'would have done in mode observe. Whether it helped is on the dashboard “Decisions”.',
    width,
    height,
    empty: 'Nothing was changed, and nobody was told',
    queries: [query('A', `${once(ACTION, `max_over_time(${chosen(ACTIONS, ...more)}[$__range])`)} * 1000 >= $__from`, { table: true })],
    columns: [
      { from: 'Value #A', name: 'When', unit: 'dateTimeAsLocal', width: 150 },
      { from: 'action', name: 'What', mappings: actionTexts, coloured: 'text', width: 100 },
      { from: 'service_name', name: 'Service', link: true },
      { from: 'from', name: 'From', width: 50, right: true },
      { from: 'to', name: 'To', width: 40, right: true },
      { from: 'k8s_pod_name', name: 'Pod', width: 105 },
      { from: 'verdict', name: 'For', mappings: verdictWords, coloured: 'text', width: 120 },
      { from: 'outcome', name: 'Outcome', mappings: outcomeTexts, coloured: 'text', width: 95 },
    ],
    sort: [['When', 'desc']],
  });

export const verdictsOverTime = (width: number, height: number) =>
  states({
    title: 'Bottleneck over time: which service, and why',
    description:
      'A row for each service that held requests back in the time shown, coloured by the verdict; green while it did not. Where two rows hold at ' +
      'once, different endpoints have different bottlenecks.',
    width,
    height,
    empty: 'No bottleneck in this time',
    mappings: verdictCodes,
    queries: [
      query(
        'A',
        `${coded(S, codes, (verdict) => chosen('headroom_service_verdict', 'service_name=~"$service"', `verdict="${verdict}"`))} ${concerned}`,
        { legend: SERVICE },
      ),
    ],
  });

export const criticalPath = (width: number, height: number) => {
  const path = (by: string, kinds: string): string => {
    const seconds = rate(ofEntry('headroom_entry_critical_path_seconds_total', `kind=~"${kinds}"`));
    const requests = rate(ofEntry('headroom_entry_requests_total'));
    return (
      `sum by (${by}) (${once('entry, path_service, peer, kind', seconds)}) ` +
      `/ on () group_left () sum (${once(`${S}, entry`, requests)})`
    );
  };
  return series({
    title: 'Where the time of a request goes, by service',
    description:
      'The critical path of an average request: the time of each service (its own, and waiting for it) that determines how long the request ' +
      'takes; databases and third parties by their own names. The area that grows is the one to look at.',
    width,
    height,
    empty: 'No requests in this time',
    unit: 's',
    stacked: true,
    legendAside: true,
    queries: [
      query('A', path('path_service', 'own|queue'), { legend: '{{path_service}}' }),
      query('B', `${path('peer', 'peer')} > 0`, { legend: '{{peer}} (dependency)' }),
    ],
  });
};

export function bottleneck(): DashboardBuilder {
  return dashboard({
    uid: 'headroom-bottleneck',
    title: 'Bottleneck now',
    description: 'What is slow, why, and what was done.',
    choices: [CLUSTER, NAMESPACE, ENTRY, SERVICES],
  })
    .withPanel(
      number({
        title: 'Verdict now',
        description: 'Why the worst bottleneck holds requests back; healthy where no endpoint misses its objective.',
        width: 5,
        height: 4,
        empty: 'no answer from headroom',
        filled: true,
        mappings: verdictCodes,
        queries: [query('A', coded('', codes, (verdict) => `headroom_verdict{verdict="${verdict}"}`), { instant: true })],
      }),
    )
    .withPanel(
      number({
        title: 'Endpoints that miss their objective',
        description: 'An endpoint is the operation of a root span: what a user asked for. 0 is good.',
        width: 5,
        height: 4,
        empty: '0',
        unit: 'none',
        steps: [[null, 'green'], [1, 'red']],
        queries: [
          query('A', `sum (${once('entry', ofEntry('headroom_entry_objective_missed'))})`, { instant: true }),
        ],
      }),
    )
    .withPanel(
      number({
        title: 'Requests that miss it',
        description: 'Slow or failed requests, as a share of all that the chosen endpoints got.',
        width: 4,
        height: 4,
        empty: 'no requests',
        unit: 'percentunit',
        decimals: 1,
        course: true,
        steps: [[null, 'green'], [0.01, 'orange'], [0.05, 'red']],
        queries: [
          query(
            'A',
            `sum (${once(`${S}, entry`, rate(ofEntry('headroom_entry_missed_requests_total')))}) ` +
              `/ sum (${once(`${S}, entry`, rate(ofEntry('headroom_entry_requests_total')))})`,
          ),
        ],
      }),
    )
    .withPanel(
      number({
        title: 'Sight',
        description: 'How much headroom sees. Partial or blind: `headroom doctor` says what hinders it; a verdict is worth no more than this.',
        width: 3,
        height: 4,
        empty: 'no answer',
        mappings: words({ 0: ['clear', 'green'], 1: ['partial', 'orange'], 2: ['blind', 'red'] }),
        queries: [
          query('A', coded('', [['clear', 0], ['partial', 1], ['blind', 2]], (level) => `headroom_sight{level="${level}"}`), { instant: true }),
        ],
      }),
    )
    .withPanel(
      number({
        title: 'Mode',
        description: 'enforce: it acts. observe: it says what it would do. paused: somebody stopped it.',
        width: 3,
        height: 4,
        empty: 'no answer',
        mappings: words({ 0: ['enforce', 'green'], 1: ['observe', 'blue'], 2: ['paused', 'orange'] }),
        queries: [
          query(
            'A',
            `max ((headroom_guard_mode{mode="enforce"} > 0) * 0 or (headroom_guard_mode{mode="observe"} > 0) * 1) ` +
              `* (1 - max (headroom_guard_paused)) + 2 * max (headroom_guard_paused)`,
            { instant: true },
          ),
        ],
      }),
    )
    .withPanel(
      number({
        title: 'Actions under way',
        description: 'Changes whose effect is not judged yet: pods are coming, or the effect is being measured.',
        width: 4,
        height: 4,
        empty: '0',
        unit: 'none',
        steps: [[null, 'text'], [1, 'orange']],
        queries: [query('A', `sum (${once(`${S}, action`, chosen('headroom_service_intervention_open'))})`, { instant: true })],
      }),
    )
    .withPanel(
      rows({
        title: 'What is slow: endpoints against their objectives',
        description: 'Latency at the quantile of the objective, errors and burn are of the last seconds; “Missed” is the share of slow or failed requests in the whole time shown. Worst first.',
        width: 12,
        height: 7,
        empty: 'No requests',
        queries: [
          query('A', coded('entry', STATUSES, (status) => ofEntry('headroom_entry_objective_status', `status="${status}"`)), { table: true }),
          query('B', once('entry', ofEntry('headroom_entry_latency_seconds')), { table: true }),
          query('C', once('entry', ofEntry('headroom_entry_objective_latency_seconds')), { table: true }),
          query('D', once('entry', ofEntry('headroom_entry_error_ratio')), { table: true }),
          query('E', once('entry', ofEntry('headroom_entry_objective_burn_ratio')), { table: true }),
          query(
            'F',
            `${once('entry', `increase(${ofEntry('headroom_entry_missed_requests_total')}[$__range])`)} ` +
              `/ ${once('entry', `increase(${ofEntry('headroom_entry_requests_total')}[$__range])`)}`,
            { table: true },
          ),
        ],
        columns: [
          { from: 'entry', name: 'Endpoint' },
          { from: 'Value #A', name: 'Objective', mappings: words({ 0: ['met', 'green'], 1: ['at risk', 'orange'], 2: ['missed', 'red'] }), coloured: 'text', width: 85 },
          { from: 'Value #B', name: 'Takes', unit: 's', decimals: 2, width: 80 },
          { from: 'Value #C', name: 'May take', unit: 's', decimals: 2, width: 80 },
          { from: 'Value #D', name: 'Errors', unit: 'percentunit', decimals: 1, width: 75 },
          { from: 'Value #E', name: 'Burn', unit: 'suffix:x', decimals: 1, width: 75, steps: [[null, 'text'], [1, 'red']], coloured: 'text' },
          { from: 'Value #F', name: 'Missed', unit: 'percentunit', decimals: 1, width: 75, steps: [[null, 'text'], [0.01, 'orange'], [0.05, 'red']], coloured: 'text' },
        ],
        sort: [['Burn', 'desc'], ['Missed', 'desc']],
      }),
    )
    .withPanel(
      rows({
        title: 'Why: the service that holds requests back',
        description:
          'Each bottleneck of the time shown, the present one first. “Where” is the pod, the dependency waited for, the caller that asks, or the version that it is tied to; “Sure” how likely it is this cause.',
        width: 12,
        height: 7,
        empty: 'No bottleneck in this time',
        queries: [
          query('A', where(`max_over_time(timestamp(${once(CAUSE, cause)})[$__range:$__interval]) * 1000`), { table: true }),
          query('B', where(`count_over_time((${once(CAUSE, cause)})[$__range:$__interval]) * $__interval_ms / 1000`), { table: true }),
          query('C', where(`max_over_time((${causeWith('headroom_bottleneck_probability_ratio')})[$__range:$__interval])`), { table: true }),
        ],
        columns: [
          { from: 'service_name', name: 'Service', link: true, width: 105 },
          { from: 'verdict', name: 'Why', mappings: verdictTexts, coloured: 'text' },
          { from: 'where', name: 'Where', width: 160 },
          { from: 'Value #C', name: 'Sure', unit: 'percentunit', decimals: 0, width: 50 },
          { from: 'Value #B', name: 'Held', unit: 's', decimals: 0, width: 55 },
          { from: 'Value #A', name: 'Last seen', unit: 'dateTimeFromNow', width: 130 },
        ],
        sort: [['Last seen', 'desc'], ['Held', 'desc']],
      }),
    )
    .withPanel(actionLog(12, 7))
    .withPanel(verdictsOverTime(12, 7))
    .withPanel(
      series({
        title: 'Objective burn by endpoint: above 1 it is missed',
        description:
          'The share of slow (or failed) requests, in parts of the share that the objective allows. 1 uses up the error budget just so; 10 ten times as fast.',
        width: 12,
        height: 8,
        empty: 'No requests in this time',
        unit: 'suffix:x',
        decimals: 1,
        min: 0.01,
        softMax: 10,
        log: true,
        line: 'area',
        steps: [[null, 'green'], [1, 'red']],
        legendAside: true,
        queries: [query('A', `max by (entry) (${ofEntry('headroom_entry_objective_burn_ratio')})`, { legend: '{{entry}}' })],
      }),
    )
    .withPanel(
      series({
        title: 'Replicas of the bottlenecks: ready against needed',
        description:
          'Of services that were a bottleneck in the time shown. Needed is what the load asks for; where ready stays below it, pods are still coming, ' +
          'or a limit holds them back (dashboard “Decisions”).',
        width: 12,
        height: 8,
        empty: 'No bottleneck in this time',
        unit: 'none',
        decimals: 0,
        min: 0,
        legendAside: true,
        queries: [
          query('A', of('headroom_service_replicas_ready'), { legend: `${SERVICE} ready` }),
          query('B', of('headroom_service_replicas_needed'), { legend: `${SERVICE} needed` }),
        ],
        looks: [
          ['/ ready$/', { width: 3, fill: 15, stairs: true }],
          ['/ needed$/', { dashed: true, stairs: true }],
        ],
      }),
    )
    .withPanel(criticalPath(12, 9))
    .withPanel(
      series({
        title: 'p99 latency by endpoint',
        description: 'From the histograms of all requests. A dot is an example request: it opens the trace.',
        width: 12,
        height: 9,
        empty: 'No requests in this time',
        unit: 's',
        min: 0,
        legendAside: true,
        queries: [
          query(
            'A',
            `histogram_quantile(0.99, max by (entry, le) (${rate(ofEntry('headroom_entry_request_duration_seconds_bucket'))}))`,
            { legend: '{{entry}}', exemplars: true },
          ),
        ],
      }),
    )
    .withPanel(
      series({
        title: 'Load of the bottlenecks against their capacity',
        description: 'Requests that arrive, and what the ready pods can serve once that has been learnt. Load above capacity queues.',
        width: 12,
        height: 8,
        empty: 'No bottleneck in this time',
        unit: 'reqps',
        min: 0,
        queries: [
          query('A', of('headroom_service_arrivals_per_second'), { legend: `${SERVICE} arrivals` }),
          query('B', of('headroom_service_capacity_per_second'), { legend: `${SERVICE} capacity` }),
        ],
        looks: [['/ capacity$/', { dashed: true, stairs: true }]],
      }),
    )
    .withPanel(
      series({
        title: 'Where failed requests begin to fail',
        description: 'Failed requests each second, by the service or dependency where the failure starts: an error, a refusal, or a caller that gave up.',
        width: 12,
        height: 8,
        empty: 'No request failed',
        unit: 'reqps',
        min: 0,
        stacked: true,
        queries: [
          query(
            'A',
            `sum by (path_service, peer, kind) (${once('entry, path_service, peer, kind', rate(ofEntry('headroom_entry_failures_total')))}) > 0`,
            { legend: '{{path_service}} {{peer}} ({{kind}})' },
          ),
        ],
      }),
    );
}
