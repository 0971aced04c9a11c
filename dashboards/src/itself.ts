// headroom itself: whether what it says can be relied on. Sight first, then the loop, then what it costs.

import type { DashboardBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import { dashboard, INSTANCE, CLUSTER, NAMESPACE } from './frame.js';
import { words } from './look.js';
import { bars, number, rows, series, states } from './panels.js';
import { chosen, coded, once, query, S, SERVICE } from './query.js';

const own = (metric: string, ...more: string[]): string => `${metric}{${['instance=~"$instance"', ...more].join(', ')}}`;
const rate = (metric: string, ...more: string[]): string => `rate(${own(metric, ...more)}[$__rate_interval])`;
const NAME = '{{instance}}';
const quantile = (q: number, metric: string): string =>
  `histogram_quantile(${q}, sum by (le, instance) (${rate(`${metric}_bucket`)}))`;

export function itself(): DashboardBuilder {
  return dashboard({
    uid: 'headroom-itself',
    title: 'headroom itself',
    description: 'Whether what headroom says can be relied on: what it sees, whether its loop keeps time, what it drops, and what it costs.',
    choices: [INSTANCE, CLUSTER, NAMESPACE],
  })
    .withPanel(
      number({
        title: 'Sight', width: 4, height: 4, filled: true, empty: 'no answer from headroom',
        description: 'clear: most requests are seen whole. partial, blind: `headroom doctor` names what hinders it, with a remedy.',
        mappings: words({ 0: ['clear', 'green'], 1: ['partial', 'orange'], 2: ['blind', 'red'] }),
        queries: [query('A', coded('', [['clear', 0], ['partial', 1], ['blind', 2]], (level) => own('headroom_sight', `level="${level}"`)), { instant: true })],
      }),
    )
    .withPanel(
      number({
        title: 'Seen whole', width: 4, height: 4, empty: 'no answer', unit: 'percentunit', decimals: 0, course: true,
        description: 'Share of traces that are seen whole.',
        steps: [[null, 'red'], [0.5, 'orange'], [0.9, 'green']],
        queries: [query('A', `min (${own('headroom_analyse_seen_share')})`)],
      }),
    )
    .withPanel(
      number({
        title: 'Leaders', width: 3, height: 4, empty: 'none', unit: 'none', steps: [[null, 'red'], [1, 'green'], [2, 'red']],
        description: 'Replicas that may act. 1 is right; 0 for long: nobody acts; more: they do not know of each other.',
        queries: [query('A', `sum (${own('headroom_act_leader')})`, { instant: true })],
      }),
    )
    .withPanel(
      number({
        title: 'Last tick', width: 3, height: 4, empty: 'no answer', unit: 's', decimals: 1, steps: [[null, 'green'], [5, 'orange'], [15, 'red']],
        description: 'Since the loop turned last: once a second when all is well.',
        queries: [query('A', `max (${own('headroom_engine_tick_age_seconds')})`, { instant: true })],
      }),
    )
    .withPanel(
      number({
        title: 'Spans shed', width: 3, height: 4, empty: '0 %', unit: 'percentunit', decimals: 1, steps: [[null, 'green'], [0.001, 'orange'], [0.5, 'red']],
        description: 'Share of the spans received lately that was left out because more came than may be analysed.',
        queries: [query('A', `1 - min (${own('headroom_window_admitted_share')})`, { instant: true })],
      }),
    )
    .withPanel(
      number({
        title: 'Journal entries lost', width: 4, height: 4, empty: '0', unit: 'none', steps: [[null, 'green'], [1, 'red']],
        description: 'Since the start, because the journal could not be written: disk full, or no right to write.',
        queries: [query('A', `max (${own('headroom_journal_dropped')})`, { instant: true })],
      }),
    )
    .withPanel(
      number({
        title: 'Names past a bound', width: 3, height: 4, empty: '0', unit: 'none', steps: [[null, 'green'], [1, 'orange']],
        description: 'Names of services, endpoints, operations, pods or calls that have no series of their own because a bound of `metrics` was reached.',
        queries: [query('A', `count (${own('headroom_metrics_names')} >= ${own('headroom_metrics_limit')}) or vector(0)`, { instant: true })],
      }),
    )
    .withPanel(
      states({
        title: 'Sight and leadership over time', width: 12, height: 6, empty: 'no answer from headroom',
        description: 'A gap: the replica did not answer.',
        mappings: words({ 0: ['clear', 'green'], 1: ['partial', 'orange'], 2: ['blind', 'red'], 10: ['follows', 'blue'], 11: ['leads', 'green'], 20: ['enforce', 'green'], 21: ['observe', 'blue'] }),
        queries: [
          query('A', coded('instance', [['clear', 0], ['partial', 1], ['blind', 2]], (level) => own('headroom_sight', `level="${level}"`)), { legend: `${NAME} sight` }),
          query('B', `max by (instance) (${own('headroom_act_leader')}) + 10`, { legend: `${NAME} leader` }),
          query('C', `max by (instance) (${own('headroom_guard_mode', 'mode="observe"')}) + 20`, { legend: `${NAME} mode` }),
        ],
      }),
    )
    .withPanel(
      series({
        title: 'From a request to the findings that know it', width: 12, height: 6, empty: 'No requests', unit: 's', min: 0,
        description: 'How old the news is when headroom has it. Mostly the arrival lag of the senders, which the watermark follows.',
        queries: [
          query('A', quantile(0.5, 'headroom_findings_delay_seconds'), { legend: `${NAME} p50` }),
          query('B', quantile(0.99, 'headroom_findings_delay_seconds'), { legend: `${NAME} p99` }),
          query('C', `max by (instance) (${own('headroom_window_watermark_lag_seconds')})`, { legend: `${NAME} watermark lag` }),
        ],
      }),
    )
    .withPanel(
      series({
        title: 'Spans received, admitted, shed', width: 8, height: 8, empty: 'No spans arrive', unit: 'suffix: spans/s', min: 0,
        description: 'Spans each second. Shed: whole traces that were left out because more came than may be analysed (limits.spans_per_second).',
        queries: [
          query('A', `sum by (instance) (${rate('headroom_receive_spans_total')})`, { legend: `${NAME} received` }),
          query('B', `sum by (instance) (${rate('headroom_window_admitted_spans_total')})`, { legend: `${NAME} admitted` }),
          query('C', `sum by (instance) (${rate('headroom_window_shed_spans_total')})`, { legend: `${NAME} shed` }),
        ],
      }),
    )
    .withPanel(
      series({
        title: 'Spans that did not fit', width: 8, height: 8, empty: 'No spans arrive', unit: 'suffix: spans/s', min: 0, stacked: true,
        description: 'Late: after their trace was closed. Duplicate: sent twice. Surplus: past what one trace may have. Rejected: not valid. Without parent: a sender lost it.',
        queries: [
          ...['late', 'duplicate', 'surplus'].map((kind, at) =>
            query('ABC'.charAt(at), `sum (${rate(`headroom_window_${kind}_spans_total`)})`, { legend: kind })),
          query('D', `sum by (reason) (${rate('headroom_receive_rejected_spans_total')}) > 0`, { legend: 'rejected: {{reason}}' }),
          query('E', `sum (${rate('headroom_analyse_spans_without_parent_total')})`, { legend: 'without parent' }),
          query('F', `sum (${rate('headroom_receive_unnamed_spans_total')})`, { legend: 'without service.name' }),
        ],
      }),
    )
    .withPanel(
      series({
        title: 'Requests of senders: taken and refused', width: 8, height: 8, empty: 'No requests of senders', unit: 'reqps', min: 0,
        description: 'A refused request is kept by its sender and sent again, except where it cannot be read.',
        queries: [
          query('A', `sum (${rate('headroom_receive_requests_total')})`, { legend: 'taken' }),
          query('B', `sum by (reason) (${rate('headroom_receive_refused_requests_total')}) > 0`, { legend: 'refused: {{reason}}' }),
        ],
        looks: [['/^taken$/', { colour: 'green' }]],
      }),
    )
    .withPanel(
      series({
        title: 'Duration of a tick', width: 8, height: 8, empty: 'The loop stands still', unit: 's', min: 0, line: 'line', steps: [[null, 'green'], [1, 'red']],
        description: 'The loop turns once a second: a tick must take less, or the next is skipped.',
        queries: [
          query('A', quantile(0.5, 'headroom_engine_tick_duration_seconds'), { legend: `${NAME} p50` }),
          query('B', quantile(0.99, 'headroom_engine_tick_duration_seconds'), { legend: `${NAME} p99` }),
        ],
      }),
    )
    .withPanel(
      series({
        title: 'Ticks, and ticks skipped', width: 8, height: 8, empty: 'The loop stands still', unit: 'suffix: ticks/s', min: 0,
        description: 'One tick a second; more where a question could not wait.',
        queries: [
          query('A', `sum by (instance) (${rate('headroom_engine_ticks_total')})`, { legend: `${NAME} ticks` }),
          query('B', `sum by (instance) (${rate('headroom_engine_ticks_skipped_total')})`, { legend: `${NAME} skipped` }),
        ],
        looks: [['/ skipped$/', { colour: 'red' }]],
      }),
    )
    .withPanel(
      series({
        title: 'Memory', width: 8, height: 8, empty: 'no answer', unit: 'bytes', min: 0,
        description: 'Resident memory of the process, the spans that it keeps for SQL, and the tables handed to the processes that answer SQL.',
        queries: [
          query('A', `max by (instance) (${own('headroom_process_resident_bytes')})`, { legend: `${NAME} resident` }),
          query('B', `max by (instance) (${own('headroom_window_bytes')})`, { legend: `${NAME} spans kept` }),
          query('C', `max by (instance) (${own('headroom_api_sql_shelf_bytes')})`, { legend: `${NAME} tables for SQL` }),
        ],
      }),
    )
    .withPanel(
      series({
        title: 'CPU', width: 8, height: 8, empty: 'no answer', unit: 'none', decimals: 2, min: 0,
        description: 'Cores in use.',
        queries: [query('A', `sum by (instance) (${rate('headroom_process_cpu_seconds_total')})`, { legend: NAME })],
      }),
    )
    .withPanel(
      series({
        title: 'Traces: open, and closed without a root', width: 8, height: 8, empty: 'no answer', unit: 'none', min: 0,
        description: 'Open traces wait for spans that are still to come. A trace without a root was begun by somebody who sends no spans, or lost one.',
        queries: [
          query('A', `max by (instance) (${own('headroom_window_open_traces')})`, { legend: `${NAME} open` }),
          query('B', `sum by (instance) (${rate('headroom_window_partial_traces_total')})`, { legend: `${NAME} without a root, each second` }),
        ],
        looks: [['/each second$/', { unit: 'suffix:/s' }]],
      }),
    )
    .withPanel(
      rows({
        title: 'Least seen services', width: 8, height: 8, empty: 'No requests',
        description: 'Share of a service’s requests whose caller’s span came too. A low one has a caller that sends no spans, or whose spans are lost.',
        queries: [query('A', `bottomk(10, ${once(S, chosen('headroom_service_seen_ratio'))})`, { table: true })],
        columns: [
          { from: 'service_name', name: 'Service', link: true },
          { from: 'Value #A', name: 'Seen', unit: 'percentunit', decimals: 0, width: 90, coloured: 'text', steps: [[null, 'red'], [0.5, 'orange'], [0.9, 'green']] },
        ],
        sort: [['Seen', 'asc']],
      }),
    )
    .withPanel(
      bars({
        title: 'Names with series of their own, of what is allowed', width: 8, height: 8, empty: 'no answer', unit: 'percentunit', max: 1,
        description: 'Past a bound (metrics.*_max) a name is counted in `_other`.',
        steps: [[null, 'green'], [0.8, 'orange'], [1, 'red']],
        queries: [query('A', `max by (dimension) (${own('headroom_metrics_names')} / ${own('headroom_metrics_limit')})`, { legend: '{{dimension}}', instant: true })],
      }),
    )
    .withPanel(
      series({
        title: 'Statements of SQL, by how they ended', width: 8, height: 8, empty: 'Nobody asked', unit: 'suffix:/s', min: 0, stacked: true,
        description: 'Busy and timed out: too many or too large questions at once.',
        queries: [query('A', `sum by (outcome) (${rate('headroom_api_sql_statements_total')}) > 0`, { legend: '{{outcome}}' })],
      }),
    )
    .withPanel(
      series({
        title: 'The cluster, as headroom reads it', width: 8, height: 8, empty: 'No cluster is configured', unit: 'suffix:/s', min: 0,
        description: 'Readings of the cluster’s state, and calls of the Kubernetes API server by why and how they ended.',
        queries: [
          query('A', `sum by (outcome) (${rate('headroom_act_polls_total')})`, { legend: 'reading {{outcome}}' }),
          query('B', `sum by (reason, outcome) (${rate('headroom_act_api_attempts_total')}) > 0`, { legend: '{{reason}} {{outcome}}' }),
        ],
        looks: [['/failed/', { colour: 'red' }]],
      }),
    )
    .withPanel(
      series({
        title: 'Journal, and panics that were caught', width: 8, height: 7, empty: 'no answer', unit: 'none', decimals: 0, min: 0,
        description: 'Entries that wait to be written, and those lost since the start. All 0 when all is well; a panic is in the log, and worth a report.',
        queries: [
          query('A', `max by (instance) (${own('headroom_journal_waiting')})`, { legend: `${NAME} waiting` }),
          query('B', `max by (instance) (${own('headroom_journal_dropped')})`, { legend: `${NAME} lost` }),
          query('C', `max by (instance) (${own('headroom_process_panics_total')})`, { legend: `${NAME} panics` }),
        ],
        looks: [['/ (lost|panics)$/', { colour: 'red' }]],
      }),
    )
    .withPanel(
      rows({
        title: 'Least seen endpoints', width: 8, height: 7, empty: 'No requests',
        description: 'Share of an endpoint’s requests whose trace is whole.',
        queries: [query('A', `bottomk(10, ${once('entry', chosen('headroom_entry_seen_ratio'))})`, { table: true })],
        columns: [
          { from: 'entry', name: 'Endpoint' },
          { from: 'Value #A', name: 'Seen', unit: 'percentunit', decimals: 0, width: 90, coloured: 'text', steps: [[null, 'red'], [0.5, 'orange'], [0.9, 'green']] },
        ],
        sort: [['Seen', 'asc']],
      }),
    )
    .withPanel(
      series({
        title: 'Services with silent failures', width: 8, height: 7, empty: 'None', unit: 'percentunit', min: 0, max: 1,
        description: 'Probability that a service fails although no objective is missed: it answers early, or drops work.',
        queries: [query('A', once(`${S}, verdict`, chosen('headroom_silent_failure_probability_ratio')), { legend: `${SERVICE} {{verdict}}` })],
      }),
    )
    .withPanel(
      series({
        title: 'Size of what arrives', width: 8, height: 7, empty: 'No spans arrive', unit: 'binBps', min: 0,
        description: 'Requests of senders, decompressed, each second.',
        queries: [query('A', `sum by (instance) (${rate('headroom_receive_decompressed_bytes_total')})`, { legend: NAME })],
      }),
    )
    .withPanel(
      series({
        title: 'Texts and fields that were mended', width: 8, height: 7, empty: 'No spans arrive', unit: 'suffix:/s', min: 0,
        description: 'Cut: longer than 1024 bytes. Broken: not UTF-8. Overflowed: too many different ones in a batch. Left out: could not be read. The spans were taken.',
        queries: [
          ...['cut_texts', 'broken_texts', 'overflowed_texts', 'left_out_fields'].map((kind, at) =>
            query('ABCD'.charAt(at), `sum (${rate(`headroom_receive_${kind}_total`)})`, { legend: kind.replaceAll('_', ' ') })),
        ],
      }),
    )
    .withPanel(
      series({
        title: 'Time to answer a scrape', width: 8, height: 7, empty: 'no answer', unit: 's', min: 0,
        description: 'What the last answer of /metrics took to write. It rises with the number of names (metrics.*_max).',
        queries: [query('A', `max by (instance) (${own('headroom_metrics_scrape_seconds')})`, { legend: NAME })],
      }),
    );
}
