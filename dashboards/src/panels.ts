// Kinds of panels, each with what all of its kind have in common.

import {
  BarGaugeDisplayMode, BigValueColorMode, BigValueGraphMode, BigValueTextMode, GraphDrawStyle, GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode, LegendDisplayMode, LegendPlacement, ReduceDataOptionsBuilder, ScaleDistribution,
  ScaleDistributionConfigBuilder, SortOrder, StackingConfigBuilder, StackingMode, TableCellDisplayMode,
  TableCellHeight, TooltipDisplayMode, VisibilityMode, VizLegendOptionsBuilder, VizOrientation, VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import * as bargauge from '@grafana/grafana-foundation-sdk/bargauge';
import {
  type DynamicConfigValue, FieldColorBuilder, FieldColorModeId, type Threshold, ThresholdsConfigBuilder, ThresholdsMode,
  type ValueMapping,
} from '@grafana/grafana-foundation-sdk/dashboard';
import type { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus';
import * as stat from '@grafana/grafana-foundation-sdk/stat';
import * as statetimeline from '@grafana/grafana-foundation-sdk/statetimeline';
import * as table from '@grafana/grafana-foundation-sdk/table';
import * as timeseries from '@grafana/grafana-foundation-sdk/timeseries';

export interface Panel {
  title: string;
  /** What it shows, what is good, and what to do: behind the panel's (i). */
  description: string;
  /** In columns of 24, and rows of 30 pixels. */
  width: number;
  height: number;
  queries: DataqueryBuilder[];
  /** Shown where there is no data, as that is an answer too. */
  empty: string;
  unit?: string;
  decimals?: number;
  /** Each colour from its value on; the first from -infinity. */
  steps?: [from: number | null, colour: string][];
  mappings?: ValueMapping[];
}

export const DATASOURCE = { type: 'prometheus', uid: '${datasource}' };

const thresholds = (steps: [number | null, string][]): ThresholdsConfigBuilder =>
  new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(steps.map(([value, color]): Threshold => ({ value, color })));

const colours = (mode: FieldColorModeId): FieldColorBuilder => new FieldColorBuilder().mode(mode);

/** What every kind has. */
interface Common {
  title(title: string): unknown;
  description(text: string): unknown;
  span(columns: number): unknown;
  height(rows: number): unknown;
  datasource(source: typeof DATASOURCE): unknown;
  targets(queries: DataqueryBuilder[]): unknown;
  noValue(text: string): unknown;
  unit(unit: string): unknown;
  decimals(decimals: number): unknown;
  thresholds(config: ThresholdsConfigBuilder): unknown;
  mappings(mappings: ValueMapping[]): unknown;
}

function begin<B extends Common>(builder: B, panel: Panel): B {
  builder.title(panel.title);
  builder.description(panel.description);
  builder.span(panel.width);
  builder.height(panel.height);
  builder.datasource(DATASOURCE);
  builder.targets(panel.queries);
  builder.noValue(panel.empty);
  if (panel.unit !== undefined) builder.unit(panel.unit);
  if (panel.decimals !== undefined) builder.decimals(panel.decimals);
  builder.thresholds(thresholds(panel.steps ?? [[null, 'green']]));
  if (panel.mappings !== undefined) builder.mappings(panel.mappings);
  return builder;
}

export interface Series extends Panel {
  /** Added up, largest area on top of the others. */
  stacked?: boolean;
  /** Counts within an interval. */
  bars?: boolean;
  /** A line at each step but the first; `area` colours what lies above it too. */
  line?: 'line' | 'area';
  log?: boolean;
  min?: number;
  max?: number;
  softMax?: number;
  /** Beside the picture, with the last and the highest value, where there are many. */
  legendAside?: boolean;
  legendOff?: boolean;
  /** Of the series whose name matches: a line of its own look. */
  looks?: [name: string, look: Look][];
}

export interface Look {
  colour?: string;
  dashed?: boolean;
  width?: number;
  fill?: number;
  unit?: string;
  stairs?: boolean;
}

function properties(look: Look): DynamicConfigValue[] {
  const out: DynamicConfigValue[] = [];
  if (look.colour !== undefined) out.push({ id: 'color', value: { mode: 'fixed', fixedColor: look.colour } });
  if (look.dashed) out.push({ id: 'custom.lineStyle', value: { fill: 'dash', dash: [8, 6] } });
  if (look.width !== undefined) out.push({ id: 'custom.lineWidth', value: look.width });
  if (look.fill !== undefined) out.push({ id: 'custom.fillOpacity', value: look.fill });
  if (look.unit !== undefined) out.push({ id: 'unit', value: look.unit });
  if (look.stairs) out.push({ id: 'custom.lineInterpolation', value: 'stepAfter' });
  return out;
}

export function series(panel: Series): timeseries.PanelBuilder {
  const legend = new VizLegendOptionsBuilder().showLegend(!panel.legendOff);
  if (panel.legendAside) {
    legend.displayMode(LegendDisplayMode.Table).placement(LegendPlacement.Right).calcs(['lastNotNull', 'max']);
  } else {
    legend.displayMode(LegendDisplayMode.List).placement(LegendPlacement.Bottom).calcs([]);
  }
  const builder = begin(new timeseries.PanelBuilder(), panel)
    .colorScheme(colours(FieldColorModeId.PaletteClassic))
    .legend(legend)
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending))
    .lineWidth(panel.stacked || panel.bars ? 1 : 2)
    .fillOpacity(panel.stacked ? 55 : panel.bars ? 80 : 6)
    .showPoints(VisibilityMode.Never)
    .stacking(new StackingConfigBuilder().mode(panel.stacked || panel.bars ? StackingMode.Normal : StackingMode.None).group('A'));
  if (panel.bars) builder.drawStyle(GraphDrawStyle.Bars);
  if (panel.log) builder.scaleDistribution(new ScaleDistributionConfigBuilder().type(ScaleDistribution.Log).log(10));
  if (panel.min !== undefined) builder.min(panel.min);
  if (panel.max !== undefined) builder.max(panel.max);
  if (panel.softMax !== undefined) builder.axisSoftMax(panel.softMax);
  if (panel.line) {
    const mode = panel.line === 'area' ? GraphThresholdsStyleMode.LineAndArea : GraphThresholdsStyleMode.Line;
    builder.thresholdsStyle(new GraphThresholdsStyleConfigBuilder().mode(mode));
  }
  for (const [name, look] of panel.looks ?? []) builder.overrideByRegexp(name, properties(look));
  return builder;
}

export interface Stat extends Panel {
  /** The colour fills the panel: for the one that is looked at first. */
  filled?: boolean;
  /** A small course beneath the value. */
  course?: boolean;
}

export function number(panel: Stat): stat.PanelBuilder {
  return begin(new stat.PanelBuilder(), panel)
    .colorScheme(colours(FieldColorModeId.Thresholds))
    .colorMode(panel.filled ? BigValueColorMode.BackgroundSolid : BigValueColorMode.Value)
    .graphMode(panel.course ? BigValueGraphMode.Area : BigValueGraphMode.None)
    .textMode(BigValueTextMode.Value)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']).values(false).fields(''));
}

/** Which state held when: a row a series, a colour a state. */
export function states(panel: Panel): statetimeline.PanelBuilder {
  return begin(new statetimeline.PanelBuilder(), panel)
    .colorScheme(colours(FieldColorModeId.Thresholds))
    .showValue(VisibilityMode.Auto)
    .mergeValues(true)
    .rowHeight(0.85)
    .fillOpacity(85)
    .lineWidth(0)
    .legend(new VizLegendOptionsBuilder().showLegend(true).displayMode(LegendDisplayMode.List).placement(LegendPlacement.Bottom).calcs([]))
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Single).sort(SortOrder.None));
}

/** Bars with names, the longest first to be seen. */
export function bars(panel: Panel & { max?: number }): bargauge.PanelBuilder {
  const builder = begin(new bargauge.PanelBuilder(), panel)
    .colorScheme(colours(FieldColorModeId.Thresholds))
    .displayMode(BarGaugeDisplayMode.Basic)
    .orientation(VizOrientation.Horizontal)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']).values(false).fields(''))
    .min(0);
  if (panel.max !== undefined) builder.max(panel.max);
  return builder;
}

export interface Column {
  /** A label, or `Value #A` for the value of query A. */
  from: string;
  name: string;
  width?: number;
  unit?: string;
  decimals?: number;
  steps?: [from: number | null, colour: string][];
  mappings?: ValueMapping[];
  /** How the colour shows: the cell, or its text. Without it there is none. */
  coloured?: 'cell' | 'text';
  /** To the dashboard of a service whose name the cell holds. */
  link?: boolean;
  right?: boolean;
}

export interface Table extends Panel {
  columns: Column[];
  /** Rows that more than one query tells of are joined by their labels. */
  sort: [column: string, direction: 'asc' | 'desc'][];
}

export function rows(panel: Table): table.PanelBuilder {
  const builder = begin(new table.PanelBuilder(), panel)
    .colorScheme(colours(FieldColorModeId.Thresholds))
    .showHeader(true)
    .cellHeight(TableCellHeight.Sm)
    .sortBy(panel.sort.map(([displayName, direction]) => ({ build: () => ({ displayName, desc: direction === 'desc' }) })));
  // Queries in a table panel bring a column for each label, `Time`, and `Value #REF` (`Value` where there is one query).
  const only = panel.queries.length === 1;
  const source = (column: Column): string => (only && column.from.startsWith('Value #') ? 'Value' : column.from);
  if (!only) builder.withTransformation({ id: 'merge', options: {} });
  builder.withTransformation({
    id: 'filterFieldsByName',
    options: { include: { names: panel.columns.map(source) } },
  });
  builder.withTransformation({
    id: 'organize',
    options: {
      excludeByName: {},
      indexByName: Object.fromEntries(panel.columns.map((column, index) => [source(column), index])),
      renameByName: Object.fromEntries(panel.columns.map((column) => [source(column), column.name])),
    },
  });
  for (const column of panel.columns) {
    const set: DynamicConfigValue[] = [];
    if (column.width !== undefined) set.push({ id: 'custom.width', value: column.width });
    if (column.unit !== undefined) set.push({ id: 'unit', value: column.unit });
    if (column.decimals !== undefined) set.push({ id: 'decimals', value: column.decimals });
    if (column.mappings !== undefined) set.push({ id: 'mappings', value: column.mappings });
    if (column.steps !== undefined) {
      set.push({ id: 'thresholds', value: { mode: 'absolute', steps: column.steps.map(([value, color]) => ({ value, color })) } });
    }
    if (column.right) set.push({ id: 'custom.align', value: 'right' });
    if (column.coloured !== undefined) {
      const type = column.coloured === 'cell' ? TableCellDisplayMode.ColorBackground : TableCellDisplayMode.ColorText;
      set.push({ id: 'custom.cellOptions', value: column.coloured === 'cell' ? { type, mode: 'basic' } : { type } });
    }
    if (column.link) {
      const url = '/d/headroom-service?var-service=${__value.raw}&${datasource:queryparam}&${cluster:queryparam}&${namespace:queryparam}&${__url_time_range}';
      set.push({ id: 'links', value: [{ title: 'this service in depth', url, targetBlank: false }] });
    }
    if (set.length > 0) builder.overrideByName(column.name, set);
  }
  return builder;
}
