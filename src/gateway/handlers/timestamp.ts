/** Times as answers carry them: RFC 3339, UTC, milliseconds. */
export function timestampOf(wallMs: number): string {
  return new Date(wallMs).toISOString();
}
