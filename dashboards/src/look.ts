// Words and colours that mean the same on every dashboard. Colours are Grafana's names, so that both themes fit.

import { type ValueMapping, MappingType } from '@grafana/grafana-foundation-sdk/dashboard';

/** What a verdict says, for somebody who has never seen headroom, and its colour. The order is that of the codes. */
export const VERDICTS: readonly { verdict: string; says: string; colour: string }[] = [
  { verdict: 'healthy', says: 'healthy', colour: 'green' },
  { verdict: 'saturated', says: 'saturated: too few replicas for the load', colour: 'orange' },
  { verdict: 'exhausted', says: 'exhausted: saturated at its maximum of replicas', colour: 'dark-red' },
  { verdict: 'slow_dependency', says: 'slow dependency: waits for what it calls', colour: 'purple' },
  { verdict: 'bad_instance', says: 'bad pod: far from its siblings', colour: 'blue' },
  { verdict: 'regression', says: 'regression: a new version is slower', colour: 'dark-yellow' },
  { verdict: 'amplification', says: 'amplification: a caller asks too often', colour: '#ff7ac6' },
  { verdict: 'failing', says: 'failing: errors start here', colour: 'red' },
  { verdict: 'unreachable', says: 'unreachable: refuses calls or never answers', colour: 'semi-dark-red' },
  { verdict: 'degraded', says: 'degraded: slower at the same load and version', colour: 'yellow' },
  { verdict: 'unknown', says: 'cause not determined yet', colour: '#7f8794' },
  { verdict: 'partial', says: 'partial sight: a part is not seen', colour: 'light-blue' },
  { verdict: 'blind', says: 'blind: no requests are seen', colour: '#4d5563' },
];

/** As short as a cell or a bar wants it. */
export const short = (verdict: string): string => (verdict === 'bad_instance' ? 'bad pod' : verdict.replaceAll('_', ' '));

const value = (options: Record<string, { text: string; color?: string }>): ValueMapping => ({
  type: MappingType.ValueToText,
  options: Object.fromEntries(Object.entries(options).map(([key, to], index) => [key, { ...to, index }])),
});

/** Verdicts as text (a label in a table). */
export const verdictTexts: ValueMapping[] = [
  value(Object.fromEntries(VERDICTS.map(({ verdict, says, colour }) => [verdict, { text: says, color: colour }]))),
];

/** The same, as short as a narrow column wants it. */
export const verdictWords: ValueMapping[] = [
  value(Object.fromEntries(VERDICTS.map(({ verdict, colour }) => [verdict, { text: short(verdict), color: colour }]))),
];

/** Verdicts as codes (a number in a timeline or a stat): the place in the list. */
export const verdictCodes: ValueMapping[] = [
  value(Object.fromEntries(VERDICTS.map(({ verdict, colour }, code) => [`${code}`, { text: short(verdict), color: colour }]))),
];

export const words = (options: Record<string, [text: string, colour?: string]>): ValueMapping[] => [
  value(Object.fromEntries(Object.entries(options).map(([key, [text, color]]) => [key, color ? { text, color } : { text }]))),
];

/** What became of an action, and what an action is called. */
export const actionTexts = words({
  scale_out: ['scale out', 'orange'],
  scale_in: ['scale in', 'blue'],
  raise_floor: ['raise floor', 'orange'],
  restart_pod: ['restart pod', 'purple'],
  resize_cpu: ['resize CPU', 'yellow'],
  shed: ['turn requests away', 'red'],
  limit_rate: ['limit a rate', 'red'],
  shift_weight: ['shift weight', 'purple'],
  return_weight: ['give weight back', 'blue'],
  notify: ['notify people', 'light-blue'],
});

export const outcomeTexts = words({
  done: ['done', 'green'],
  failed: ['failed', 'red'],
  observed: ['only observed', '#7f8794'],
  notified: ['notified', 'light-blue'],
});
