/**
 * docs/FAULTS.md, made from the table of faults. `node scripts/faults-page.ts` writes it anew.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { faults, type FaultSpec } from '../src/base/fault-table.ts';

export const faultsPagePath = 'docs/FAULTS.md';

const introduction = `# Faults

Every error that can occur in operation has a code. A code never changes its meaning, so scripts can
test for it. The same code appears in HTTP answers (\`application/problem+json\`), in the messages of
\`coffer\`, in logs and in the audit log. An error never contains secret material.

**Status** is the HTTP status, **exit** the exit code of \`coffer\`. **Retry** says whether the same
request can succeed: *never*, *later* (wait and try again), or *after a change* (somebody must change
something first). A bug is not listed here: it is an assertion, and ends the process.

Exit codes: 0 success, 1 general failure, 2 usage, 3 not found, 4 not permitted, 5 not authenticated,
6 conflict, 7 gateway or network unavailable, 8 sealed, 10 differences found, 124 timeout,
130 interrupted.

This page is generated from [\`src/base/fault-table.ts\`](../src/base/fault-table.ts) by
\`scripts/faults-page.ts\`; do not edit it.
`;

const again: Readonly<Record<FaultSpec['retry'], string>> = {
  never: 'never',
  later: 'later',
  'after-change': 'after a change',
};

export function faultsPage(): string {
  const rooms = Map.groupBy(Object.entries(faults), ([code]) => code.split('.')[0] ?? '');
  const sections = [...rooms].map(([room, rows]) => {
    const entries = rows.map(([code, spec]) => entryOf(code, spec));
    return [`## ${room}\n`, ...entries].join('\n');
  });
  return [introduction, ...sections].join('\n');
}

function entryOf(code: string, { status, exit, retry, title, hint }: FaultSpec): string {
  return `### \`${code}\`

**${title}.** ${hint}

Status ${status} · exit ${exit} · retry: ${again[retry]}
`;
}

if (import.meta.main) {
  writeFileSync(join(import.meta.dirname, '..', faultsPagePath), faultsPage());
}
