// A dashboard as a literal in TypeScript, typed as Grafana's schema types it: the dashboard as a whole, and each panel once
// more with the options and field settings of its kind. `npm run literals` compiles them.
//
// JSON has the words of an enumeration and not its members, so `Plain` lets a word stand for each member, and nothing else.

import type { Dashboard, Panel } from '@grafana/grafana-foundation-sdk/dashboard';

const HEAD = `import type { AnnotationQuery, Dashboard, Panel } from '@grafana/schema';
import type * as bargauge from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as statetimeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

type Plain<T> = unknown extends T ? T
  : T extends string ? \`\${T}\`
  : T extends number | boolean | null | undefined ? T
  : T extends readonly (infer U)[] ? Plain<U>[]
  : { [K in keyof T]: Plain<T[K]> };

// What the schema leaves to data sources: an annotation's own keys. These are Prometheus'.
interface FromPrometheus extends AnnotationQuery {
  expr: string;
  step: string;
  titleFormat: string;
  textFormat: string;
  tagKeys: string;
  useValueForTime: boolean;
}
interface Whole extends Omit<Dashboard, 'annotations'> {
  annotations: { list: FromPrometheus[] };
}
`;

const TYPES: Record<string, string> = {
  bargauge: 'Panel<bargauge.Options, Record<string, never>>',
  stat: 'Panel<stat.Options, Record<string, never>>',
  statetimeline: 'Panel<statetimeline.Options, Partial<statetimeline.FieldConfig>>',
  table: 'Panel<table.Options, Partial<table.FieldConfig>>',
  timeseries: 'Panel<timeseries.Options, Partial<timeseries.FieldConfig>>',
};

export function literal(dashboard: Dashboard): string {
  const json = (value: unknown): string => JSON.stringify(value, null, 1);
  const panels = (dashboard.panels ?? []).filter((panel): panel is Panel => panel.type !== 'row');
  const typed = panels.map((panel, index) => {
    const type = TYPES[panel.type.replace('-', '')];
    if (type === undefined) throw new Error(`${panel.title}: no type is known for panels of kind ${panel.type}`);
    return `export const panel${index}: Plain<${type}> = ${json(panel)};\n`;
  });
  return `${HEAD}\nexport const dashboard: Plain<Whole> = ${json(dashboard)};\n\n${typed.join('\n')}`;
}
