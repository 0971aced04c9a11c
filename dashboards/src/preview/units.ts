// Numbers as Grafana writes them, for the units that the dashboards use.

const trimmed = (value: number, decimals: number | undefined): string => {
  if (decimals !== undefined) return value.toFixed(decimals);
  const size = Math.abs(value);
  const digits = size === 0 ? 0 : size < 0.1 ? 3 : size < 1 ? 2 : size < 10 ? 2 : size < 100 ? 1 : 0;
  return `${Number(value.toFixed(digits))}`;
};

const scaled = (value: number, decimals: number | undefined, steps: [number, string][]): string => {
  const [by, name] = steps.findLast(([from]) => Math.abs(value) >= from) ?? steps[0]!;
  return `${trimmed(value / by, decimals)}${name}`;
};

const TIME: [number, string][] = [[1e-6, ' µs'], [1e-3, ' ms'], [1, ' s'], [60, ' mins'], [3600, ' hours'], [86400, ' days']];
const SHORT: [number, string][] = [[1, ''], [1e3, ' K'], [1e6, ' Mil'], [1e9, ' Bil']];
const BYTES: [number, string][] = [[1, ' B'], [1024, ' KiB'], [1024 ** 2, ' MiB'], [1024 ** 3, ' GiB']];

const clock = (seconds: number): string => new Date(seconds * 1000).toISOString().replace('T', ' ').slice(0, 19);
export const hour = (seconds: number, withSeconds: boolean): string => clock(seconds).slice(11, withSeconds ? 19 : 16);

/** `now` is the end of the range, in seconds: what `from now` counts from. */
export function shown(value: number, unit: string | undefined, decimals: number | undefined, now: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
  switch (unit) {
    case 's': return value === 0 ? '0 s' : scaled(value, decimals === 0 && Math.abs(value) < 1 ? undefined : decimals, TIME);
    case 'percentunit': return `${trimmed(value * 100, decimals)}%`;
    case 'bytes': return scaled(value, decimals ?? (Math.abs(value) >= 1024 ? 1 : 0), BYTES);
    case 'binBps': return `${scaled(value, decimals ?? 1, BYTES)}/s`;
    case 'short': return scaled(value, decimals, SHORT);
    case 'reqps': return `${scaled(value, decimals, SHORT)} req/s`;
    case 'cps': return `${scaled(value, decimals, SHORT)} c/s`;
    case 'dateTimeAsLocal': return clock(value / 1000);
    case 'dateTimeFromNow': return ago(now - value / 1000);
    default: {
      const number = trimmed(value, decimals);
      return unit?.startsWith('suffix:') ? `${number}${unit.slice(7)}` : number;
    }
  }
}

function ago(seconds: number): string {
  const [size, name] = seconds < 45 ? [0, 'a few seconds'] : seconds < 90 ? [0, 'a minute'] : seconds < 2700 ? [60, 'minutes'] : seconds < 5400 ? [0, 'an hour'] : [3600, 'hours'];
  return size === 0 ? `${name} ago` : `${Math.round(seconds / (size as number))} ${name} ago`;
}
