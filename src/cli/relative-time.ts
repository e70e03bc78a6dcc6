/** Times as kubectl shows them: the two largest units that matter; and as people type them. */
import { usage } from './command-spec.ts';

/** @param iso - RFC 3339, or nothing known. */
export function ageOf(iso: string | undefined, nowMs: number): string {
  if (iso === undefined || iso === '') return '<unknown>';
  const at = Date.parse(iso);
  return Number.isNaN(at) ? '<invalid>' : duration(nowMs - at);
}

/** `5s`, `3m10s`, `2h15m`, `4d3h`, `120d`, `3y20d` */
export function duration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < -1) return `-${duration(-ms)}`;
  if (seconds < 0) return '0s';
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return join(minutes, 'm', seconds % 60, 's');
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return join(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (days < 8) return join(days, 'd', hours % 24, 'h');
  if (days < 365 * 2) return `${days}d`;
  const years = Math.floor(days / 365);
  return years < 8 ? join(years, 'y', days % 365, 'd') : `${years}y`;
}

function join(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit}${small}${smallUnit}`;
}

const unitMs: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** `2h` before now, or a time, as the API takes it. @throws Fault `cli.usage` */
export function timeOf(option: string, text: string, nowMs: number): string {
  const [, number, unit = ''] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  const timeMs =
    number === undefined ? Date.parse(text) : nowMs - Number(number) * (unitMs[unit] ?? 0);
  const isDated = number !== undefined || /^\d{4}-\d\d-\d\d/.test(text);
  if (!isDated || Number.isNaN(timeMs)) {
    throw usage(`${option} must be 30s, 5m, 2h or 7d ago, or a time such as 2026-03-01T10:40:00Z`);
  }
  return new Date(timeMs).toISOString();
}
