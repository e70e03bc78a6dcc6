/**
 * docs/FAULTS.md, made from the table of faults. `node scripts/faults-page.ts` writes it anew.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { faults, type FaultSpec } from '../src/base/fault-table.ts';

export const faultsPagePath = 'docs/FAULTS.md';

const introduction = `# Faults

Everything that can go wrong in operation has a code. A code never changes its meaning: scripts may
test for it, and searching for it finds this page. The same code stands in the HTTP answer (as
\`application/problem+json\`), in the CLI's message, in the log and in the audit log. No fault carries
secret material.

**Status** is the HTTP status, **exit** the exit status of \`coffer\`. **Again** says whether the same
request can succeed later: *never*, *later* (by itself, try again with a pause), or *after a change*
(by somebody). A bug is not a fault: it is an assertion, and ends the process.

Exit statuses: 0 done, 1 general, 2 usage, 3 not found, 4 not permitted, 5 not authenticated,
6 conflict, 7 server or network unavailable, 8 sealed, 10 differences found, 124 timeout,
130 interrupted.

This page is made from [\`src/base/fault-table.ts\`](../src/base/fault-table.ts) by
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

function entryOf(code: string, { status, exit, retry, hint }: FaultSpec): string {
  return `### \`${code}\`

Status ${status} · exit ${exit} · again: ${again[retry]}

${hint}
`;
}

if (import.meta.main) {
  writeFileSync(join(import.meta.dirname, '..', faultsPagePath), faultsPage());
}
