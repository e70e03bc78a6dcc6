/** What the listener counts. Labels are classes of answers, never paths or people. */
import type { Metrics } from '../../base/metrics.ts';

const classes = ['2xx', '3xx', '4xx', '5xx'] as const;
const refusals = ['rate', 'connections', 'tls', 'malformed'] as const;

export interface HttpMetrics {
  answered(status: number, seconds: number): void;
  refused(why: (typeof refusals)[number]): void;
  connections(open: number): void;
  streams(open: number): void;
}

export function declareHttpMetrics(metrics: Metrics): HttpMetrics {
  const duration = metrics.histogram({
    name: 'coffer_http_request_duration_seconds',
    help: 'From the last header to the answer.',
    labels: { status: classes },
  });
  const refused = metrics.counter({
    name: 'coffer_http_refused_total',
    help: 'Refused before an operation was looked at.',
    labels: { reason: refusals },
  });
  const connections = metrics.gauge({
    name: 'coffer_http_connections',
    help: 'Open connections.',
    labels: {},
  });
  const streams = metrics.gauge({
    name: 'coffer_http_event_streams',
    help: 'Open event streams.',
    labels: {},
  });
  return {
    answered: (status, seconds) => duration.observe({ status: classOf(status) }, seconds),
    refused: (reason) => refused.add({ reason }),
    connections: (open) => connections.set({}, open),
    streams: (open) => streams.set({}, open),
  };
}

function classOf(status: number): (typeof classes)[number] {
  if (status >= 500) return '5xx';
  if (status >= 400) return '4xx';
  return status >= 300 ? '3xx' : '2xx';
}
