// Pictures of the dashboards from the answers of a real Prometheus.
//
//   node build/preview/main.js ask FOLDER --prometheus URL --from S --to S [--scrape S] [--service NAME] [--only NAME]
//       asks every query and keeps the answers in FOLDER/NAME.answers.json, then draws
//   node build/preview/main.js draw FOLDER
//       draws FOLDER/NAME.png, and writes what it says as NAME.layout.txt, from the answers that are kept there
//
// Times are seconds since the Unix epoch.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';
import { Resvg } from '@resvg/resvg-js';
import { picture } from './draw.js';
import { FONTS } from './paper.js';
import { plan } from './plan.js';
import { png } from './png.js';
import { type Answers, answers, type Moment, Prometheus } from './prometheus.js';

const dashboards = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const NAMES = readdirSync(dashboards).filter((file) => /^headroom-.*\.json$/.test(file)).map((file) => file.replace('.json', ''));
const read = <T>(path: string): T => JSON.parse(readFileSync(path, 'utf8')) as T;
const dashboard = (name: string): Dashboard => read(join(dashboards, `${name}.json`));

/** Four digits are more than a picture shows. */
const compact = (_key: string, value: unknown): unknown =>
  typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(value > 1e8 ? 13 : 4)) : value;

function draw(folder: string, name: string): void {
  const found = read<Answers>(join(folder, `${name}.answers.json`));
  const svg = picture(dashboard(name), found);
  writeFileSync(join(folder, `${name}.layout.txt`), plan(dashboard(name), found));
  const image = new Resvg(svg, { font: { fontFiles: FONTS, loadSystemFonts: false, defaultFontFamily: 'Inter' } });
  const { pixels, width, height } = image.render();
  writeFileSync(join(folder, `${name}.png`), png(pixels, width, height));
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    prometheus: { type: 'string', default: 'http://127.0.0.1:9090' },
    from: { type: 'string' },
    to: { type: 'string' },
    scrape: { type: 'string', default: '1' },
    service: { type: 'string' },
    cluster: { type: 'string' },
    only: { type: 'string' },
  },
});
const [what, folder] = positionals;
if (folder === undefined) throw new Error('usage: main.js ask|draw FOLDER [--only NAME]');
for (const name of NAMES.filter((name) => values.only === undefined || name === values.only)) {
  if (what === 'ask') {
    const variables = Object.fromEntries(
      (['service', 'cluster'] as const).flatMap((key) => (values[key] !== undefined && (key !== 'service' || name === 'headroom-service') ? [[key, values[key]]] : [])),
    );
    const moment: Moment = { from: Number(values.from), to: Number(values.to), scrape: Number(values.scrape), variables };
    const found = await answers(dashboard(name), new Prometheus(values.prometheus), moment);
    writeFileSync(join(folder, `${name}.answers.json`), `${JSON.stringify(found, compact)}\n`);
  }
  draw(folder, name);
}
