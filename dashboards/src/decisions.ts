// Decisions: what was done, by which rule, whether it helped, and what was refused.

import type { DashboardBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import { actionLog } from './bottleneck.js';
import { CLUSTER, dashboard, NAMESPACE, SERVICES } from './frame.js';
import { actionTexts, words } from './look.js';
import { number, rows, series } from './panels.js';
import { ofService, once, query, rate, S, SERVICE } from './query.js';

/**
 * How often something happened in the time shown. A counter that appears at 1 shows no increase, so what it holds at the end
 * counts whole where it was not there at the beginning.
 */
const times = (labels: string, series: string): string => {
  const end = `max by (${labels}) (max_over_time(${series}[$__range]))`;
  return `${end} - (max by (${labels}) (${series} offset $__range) or ${end} * 0)`;
};
/** The same for each interval of a picture. */
const each = (labels: string, series: string): string => {
  const end = `max by (${labels}) (${series})`;
  return `(${end} - (max by (${labels}) (${series} offset $__rate_interval) or ${end} * 0)) > 0`;
};
const ended = (stage: string): string =>
  `sum (${times('rule, action, stage', `headroom_verify_interventions_total{stage="${stage}"}`)})`;

export function decisions(): DashboardBuilder {
  return dashboard({
    uid: 'headroom-decisions',
    title: 'Decisions',
    description: 'What was done and why, by which rule, whether it helped, and what was refused by which gate.',
    choices: [CLUSTER, NAMESPACE, SERVICES],
    from: 'now-1h',
  })
    .withPanel(
      number({
        title: 'Actions that helped', width: 4, height: 4, empty: '0', unit: 'none', steps: [[null, 'text'], [1, 'green']],
        description: 'Interventions of the time shown whose effect was confirmed: waiting at the target fell as promised.',
        queries: [query('A', ended('verified'), { instant: true })],
      }),
    )
    .withPanel(
      number({
        title: 'Actions without effect', width: 4, height: 4, empty: '0', unit: 'none', steps: [[null, 'text'], [1, 'orange']],
        description: 'Their rule is not asked for this cause again (a breaker opens); what they added is given back once it is calm.',
        queries: [query('A', ended('no_effect'), { instant: true })],
      }),
    )
    .withPanel(
      number({
        title: 'Under way', width: 4, height: 4, empty: '0', unit: 'none', steps: [[null, 'text'], [1, 'orange']],
        description: 'Interventions that have not ended: pods are coming, or the effect is being measured.',
        queries: [query('A', 'max (headroom_verify_interventions_open)', { instant: true })],
      }),
    )
    .withPanel(
      number({
        title: 'Refused proposals', width: 4, height: 4, empty: '0', unit: 'none', steps: [[null, 'text']],
        description: 'Proposals of rules that a gate refused in the time shown. “Refusals by gate” says which.',
        queries: [query('A', `sum (${times('gate, action', 'headroom_guard_refusals_total')})`, { instant: true })],
      }),
    )
    .withPanel(
      number({
        title: 'Open breakers', width: 4, height: 4, empty: '0', unit: 'none', steps: [[null, 'green'], [1, 'red']],
        description: 'Rules that may not act on a service for now, because what they did there had no effect.',
        queries: [query('A', `count (${once(`rule, ${S}`, ofService('headroom_guard_breaker_open'))} > 0) or vector(0)`, { instant: true })],
      }),
    )
    .withPanel(
      number({
        title: 'Rules that failed', width: 4, height: 4, empty: '0', unit: 'none', steps: [[null, 'green'], [1, 'red']],
        description: 'Failures to load or to run in the time shown. The log and `headroom check-config` say why.',
        queries: [query('A', 'max (max_over_time(headroom_decide_rule_failures_total[$__range])) - (max (headroom_decide_rule_failures_total offset $__range) or vector(0))', { instant: true })],
      }),
    )
    .withPanel(actionLog(12, 8, 'service_name=~"$service"'))
    .withPanel(
      series({
        title: 'Replicas ordered by headroom', width: 12, height: 8, empty: 'Nothing was ordered', unit: 'none', decimals: 0, min: 0, legendAside: true,
        description: 'The last decision for each service that was scaled (in mode observe: what it would have been), and the replicas it has.',
        queries: [
          query('A', once(S, ofService('headroom_service_replicas_wanted')), { legend: `${SERVICE} ordered` }),
          query('B', `${once(S, ofService('headroom_service_replicas_ready'))} and on (${S}) ${once(S, `max_over_time(${ofService('headroom_service_replicas_wanted')}[$__range])`)}`, { legend: `${SERVICE} ready` }),
        ],
        looks: [['/ ordered$/', { stairs: true, dashed: true }], ['/ ready$/', { stairs: true, width: 3, fill: 12 }]],
      }),
    )
    .withPanel(
      rows({
        title: 'Rules: what they proposed, and what became of it', width: 12, height: 8, empty: 'No rule proposed anything in this time',
        description: 'A proposal that says the same as the one before is decided once. Permitted: it was done. Observed: it would have been.',
        queries: [
          query('A', times('rule, action', 'headroom_decide_proposals_total'), { table: true }),
          query('B', `sum by (rule, action) (${times(`rule, action, outcome, ${S}`, 'headroom_guard_decisions_total{outcome="permitted"}')})`, { table: true }),
          query('C', `sum by (rule, action) (${times(`rule, action, outcome, ${S}`, 'headroom_guard_decisions_total{outcome="observed"}')})`, { table: true }),
          query('D', `sum by (rule, action) (${times(`rule, action, outcome, ${S}`, 'headroom_guard_decisions_total{outcome="notified"}')})`, { table: true }),
          query('E', `sum by (rule, action) (${times(`rule, action, outcome, ${S}`, 'headroom_guard_decisions_total{outcome="refused"}')})`, { table: true }),
        ],
        columns: [
          { from: 'rule', name: 'Rule' },
          { from: 'action', name: 'Action', width: 115, mappings: actionTexts, coloured: 'text' },
          { from: 'Value #A', name: 'Proposed', decimals: 0, width: 85 },
          { from: 'Value #B', name: 'Permitted', decimals: 0, width: 85 },
          { from: 'Value #C', name: 'Observed', decimals: 0, width: 85 },
          { from: 'Value #D', name: 'Notified', decimals: 0, width: 80 },
          { from: 'Value #E', name: 'Refused', decimals: 0, width: 80 },
        ],
        sort: [['Proposed', 'desc']],
      }),
    )
    .withPanel(
      rows({
        title: 'Did it help?', width: 12, height: 8, empty: 'Nothing was changed in this time',
        description: 'Interventions by how far they came: applied, judging, then verified (it helped), no effect, given back, or superseded by a later one.',
        queries: [query('A', `${times('rule, action, stage', 'headroom_verify_interventions_total')} > 0`, { table: true })],
        columns: [
          { from: 'action', name: 'Action', mappings: actionTexts, coloured: 'text' },
          { from: 'rule', name: 'Rule' },
          {
            from: 'stage', name: 'Came to', coloured: 'text',
            mappings: words({
              verified: ['verified: it helped', 'green'],
              no_effect: ['no effect', 'orange'],
              given_back: ['given back', 'blue'],
              superseded: ['superseded', 'text'],
              applied: ['applied', 'text'],
              judging: ['judging', 'text'],
            }),
          },
          { from: 'Value #A', name: 'Times', decimals: 0, width: 80 },
        ],
        sort: [['Action', 'asc'], ['Came to', 'asc']],
      }),
    )
    .withPanel(
      series({
        title: 'Decisions over time, by outcome', width: 8, height: 8, empty: 'Nothing was decided in this time', unit: 'none', decimals: 0, min: 0, bars: true,
        description: 'News only: a decision that repeats the one before is not counted.',
        queries: [query('A', `sum by (outcome) (${each(`rule, action, outcome, ${S}`, 'headroom_guard_decisions_total')})`, { legend: '{{outcome}}' })],
        looks: [['/^permitted$/', { colour: 'green' }], ['/^observed$/', { colour: 'blue' }], ['/^notified$/', { colour: 'light-blue' }], ['/^refused$/', { colour: 'orange' }]],
      }),
    )
    .withPanel(
      series({
        title: 'Refusals by gate', width: 8, height: 8, empty: 'Nothing was refused in this time', unit: 'none', decimals: 0, min: 0, bars: true,
        description: 'bounds and budget: a limit that you set. opt_in: nobody allowed it to act there. breaker: it had no effect before. admission: a policy of the cluster.',
        queries: [query('A', `sum by (gate) (${each('gate, action', 'headroom_guard_refusals_total')})`, { legend: '{{gate}}' })],
      }),
    )
    .withPanel(
      rows({
        title: 'Open breakers', width: 8, height: 8, empty: 'None',
        description: 'Rule and service. A breaker closes by itself after a while, or when the cause is another.',
        queries: [query('A', `${once(`rule, ${S}`, ofService('headroom_guard_breaker_open'))} > 0`, { table: true })],
        columns: [{ from: 'rule', name: 'Rule' }, { from: 'service_name', name: 'Service', link: true }],
        sort: [['Rule', 'asc']],
      }),
    )
    .withPanel(
      series({
        title: 'Changes in the cluster, by outcome', width: 8, height: 7, empty: 'No change was sent', unit: 'none', decimals: 0, min: 0, bars: true,
        description: 'Permitted changes that the cluster took or refused.',
        queries: [query('A', `sum by (outcome) (${each('action, outcome', 'headroom_act_changes_total')})`, { legend: '{{outcome}}' })],
        looks: [['/^done$/', { colour: 'green' }], ['/^failed$/', { colour: 'red' }]],
      }),
    )
    .withPanel(
      series({
        title: 'Evaluations of rules', width: 8, height: 7, empty: 'No rule runs', unit: 'suffix:/s', min: 0,
        description: 'Each rule is asked at each tick. One that falls to 0 was switched off because it took too long or failed.',
        queries: [
          query('A', once('rule', 'rate(headroom_decide_rule_evaluations_total[$__rate_interval])'), { legend: '{{rule}}' }),
          query('B', `${once('rule', 'rate(headroom_decide_rule_errors_total[$__rate_interval])')} > 0`, { legend: '{{rule}} failed' }),
        ],
        looks: [['/ failed$/', { colour: 'red' }]],
      }),
    )
    .withPanel(
      rows({
        title: 'Paused services', width: 8, height: 7, empty: 'None',
        description: 'Somebody stopped headroom from acting on these; `headroom status` says who and why, `headroom resume` ends it.',
        queries: [query('A', `${once(S, ofService('headroom_guard_service_paused'))} == 1`, { table: true })],
        columns: [{ from: 'service_name', name: 'Service', link: true }, { from: 'service_namespace', name: 'Namespace' }],
        sort: [['Service', 'asc']],
      }),
    )
    .withPanel(
      series({
        title: 'Notices', width: 6, height: 7, empty: 'Nobody was told', unit: 'none', decimals: 0, min: 0, bars: true,
        description: 'Messages to people, by receiver. Dead: every attempt failed; the message is in the log and the journal all the same. Suppressed: repeated, or grouped with others of one cause.',
        queries: [
          query('A', `sum by (receiver, outcome) (${each('receiver, outcome', 'headroom_notify_messages_total')})`, { legend: '{{receiver}} {{outcome}}' }),
          query('B', `sum by (reason) (${each('reason', 'headroom_notify_suppressed_total')})`, { legend: 'suppressed: {{reason}}' }),
        ],
        looks: [['/ dead$/', { colour: 'red' }]],
      }),
    )
    .withPanel(
      series({
        title: 'Attempts to deliver', width: 6, height: 7, empty: 'Nobody was told', unit: 'none', decimals: 0, min: 0, bars: true,
        description: 'Each attempt at a receiver, by how it ended. `headroom notify-test` sends one to each.',
        queries: [query('A', `sum by (receiver, outcome) (${each('receiver, outcome', 'headroom_notify_attempts_total')})`, { legend: '{{receiver}} {{outcome}}' })],
        looks: [['/ ok$/', { colour: 'green' }]],
      }),
    )
    .withPanel(
      series({
        title: 'Messages that wait, and causes that fire', width: 6, height: 7, empty: 'No receiver is configured (notify)', unit: 'none', decimals: 0, min: 0,
        description: 'A cause is told once, and again when it is over; messages wait while a receiver does not answer.',
        queries: [
          query('A', once('receiver', 'headroom_notify_queued_messages'), { legend: '{{receiver}} waiting' }),
          query('B', 'max (headroom_notify_causes)', { legend: 'causes' }),
        ],
      }),
    )
    .withPanel(
      series({
        title: 'Age of the oldest message that waits', width: 6, height: 7, empty: 'No receiver is configured (notify)', unit: 's', min: 0,
        description: 'More than minutes: the receiver is down, or refuses.',
        queries: [query('A', once('receiver', 'headroom_notify_oldest_seconds'), { legend: '{{receiver}}' })],
      }),
    )
    .withPanel(
      series({
        title: 'Requests at the front door', width: 16, height: 7, empty: 'No gateway asks (gateway.listen)', unit: 'reqps', min: 0, stacked: true,
        description: 'What gateways were answered. Shed: turned away with 429 because a service behind it cannot serve more; the log of actions says which, and why. Replicas of headroom each answer a part.',
        queries: [query('A', `sum by (answer) (${rate('headroom_gateway_answers_total')})`, { legend: '{{answer}}' })],
        looks: [['/^admitted$/', { colour: 'green' }], ['/^shed$/', { colour: 'orange' }]],
      }),
    )
    .withPanel(
      series({
        title: 'Questions of gateways that were not understood', width: 8, height: 7, empty: 'None', unit: 'reqps', min: 0,
        description: 'Their requests were let in. unknown_entry: an endpoint that no trace has shown; unknown_descriptor: neither `entry` nor `path` was told; unknown_domain: the filter names another domain than gateway.domain.',
        queries: [query('A', `sum by (what) (${rate('headroom_gateway_unknown_total')}) > 0`, { legend: '{{what}}' })],
      }),
    );
}
