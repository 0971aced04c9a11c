// Writes the dashboards as Grafana reads them, and the same as literals that a compiler holds against Grafana's own types.
//
//   node build/main.js [FOLDER]    FOLDER/*.json, and build/literals/*.ts; FOLDER is this one unless given

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DashboardBuilder, Panel } from '@grafana/grafana-foundation-sdk/dashboard';
import { bottleneck } from './bottleneck.js';
import { burst } from './burst.js';
import { decisions } from './decisions.js';
import { itself } from './itself.js';
import { literal } from './literals.js';
import { service } from './service.js';

const here = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = process.argv[2] ?? here;
const literals = join(here, 'build', 'literals');

const all: Record<string, DashboardBuilder> = {
  'headroom-bottleneck': bottleneck(),
  'headroom-service': service(),
  'headroom-decisions': decisions(),
  'headroom-burst': burst(),
  'headroom-itself': itself(),
};

/** Panels stand in rows of one height that fill the width: a gap is a mistake that only a picture shows. */
function aligned(name: string, panels: Panel[]): void {
  for (const y of new Set(panels.map(({ gridPos }) => gridPos!.y))) {
    const row = panels.filter(({ gridPos }) => gridPos!.y === y);
    const width = row.reduce((sum, { gridPos }) => sum + gridPos!.w, 0);
    const heights = new Set(row.map(({ gridPos }) => gridPos!.h));
    if (width !== 24 || heights.size !== 1) throw new Error(`${name}: the row at ${y} is ${width} wide, with heights ${[...heights]}`);
  }
}

mkdirSync(folder, { recursive: true });
rmSync(literals, { recursive: true, force: true });
mkdirSync(literals, { recursive: true });
for (const [name, builder] of Object.entries(all)) {
  const dashboard = builder.build();
  dashboard.panels?.forEach((panel, index) => (panel.id = index + 1));
  // Of interval variables alone; the builder writes them into each, and Grafana's schema has them in none.
  for (const variable of dashboard.templating.list ?? []) {
    for (const key of ['auto', 'auto_min', 'auto_count']) delete (variable as unknown as Record<string, unknown>)[key];
  }
  aligned(name, dashboard.panels as Panel[]);
  const json = JSON.stringify(dashboard, null, 1);
  writeFileSync(join(folder, `${name}.json`), `${json}\n`);
  writeFileSync(join(literals, `${name}.ts`), literal(dashboard));
}
