/** Times as kubectl shows them: the two largest units that matter. */

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
