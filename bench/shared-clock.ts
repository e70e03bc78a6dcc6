/** CLOCK_MONOTONIC in milliseconds: comparable between processes of one machine. */
export function sharedMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
