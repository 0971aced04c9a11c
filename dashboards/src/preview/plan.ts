// What a picture says, as text: where each panel lies, its title, unit and thresholds, and the names in its legend or head.
// Kept beside the picture, so that a difference can be read.

import type { Dashboard, Panel } from '@grafana/grafana-foundation-sdk/dashboard';
import { layout } from './draw.js';
import { grid, named } from './frames.js';
import type { Answers } from './prometheus.js';

export function plan(dashboard: Dashboard, answers: Answers): string {
  const panels = dashboard.panels as Panel[];
  const lines = layout(dashboard).map(({ title, kind, box }, at) => {
    const panel = panels[at]!;
    const defaults = panel.fieldConfig!.defaults;
    const steps = (defaults.thresholds?.steps ?? []).map(({ value, color }) => `${value ?? '-inf'} ${color}`).join(', ');
    const place = [box.x, box.y, box.width, box.height].map((value) => Math.round(value)).join(' ');
    return [
      `${place} ${kind} “${title}”`,
      `  unit ${defaults.unit ?? 'none'}; thresholds ${steps}; without data “${defaults.noValue ?? ''}”`,
      `  shows ${shows(panel, answers).join(' | ')}`,
    ].join('\n');
  });
  return `${dashboard.title}\n${lines.join('\n')}\n`;
}

function shows(panel: Panel, answers: Answers): string[] {
  const data = answers.panels[panel.id!] ?? [];
  if (data.every(({ series }) => series.length === 0)) return ['(nothing)'];
  if (panel.type === 'table') return grid(panel, data).columns.map(({ name }) => name);
  return data.every(({ legend }) => legend === undefined) ? ['(one value)'] : named(panel, data).map(({ name }) => name);
}
