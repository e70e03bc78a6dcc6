/**
 * Holds that files made from other files are what they would be made into now.
 *
 * Prints which are not and how to make them; the last line is how many were looked at.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openApiDocument } from '../src/gateway/http/openapi.ts';
import { faultsPage, faultsPagePath } from './faults-page.ts';
import { root, runProgram } from './run-program.ts';

interface GeneratedFile {
  readonly path: string;
  /** The command that makes it. */
  readonly by: string;
  readonly text: string;
}

function committed(path: string): string {
  try {
    return readFileSync(join(root, path), 'utf8');
  } catch {
    return '';
  }
}

async function streamCode(): Promise<GeneratedFile> {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-generate-'));
  try {
    const template = join(directory, 'buf.gen.yaml');
    const settings = committed('buf.gen.yaml').replace(/out: .*/, `out: ${directory}`);
    writeFileSync(template, settings);
    const { status, output } = await runProgram(['buf', 'generate', '--template', template]);
    const text = status === 0 ? readFileSync(join(directory, 'stream_pb.ts'), 'utf8') : output;
    return { path: 'src/testing/stream_pb.ts', by: 'npx buf generate', text };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const files: readonly GeneratedFile[] = [
  await streamCode(),
  {
    path: 'docs/openapi.json',
    by: 'COFFER_UPDATE=1 node --test src/gateway/http/openapi.test.ts',
    text: `${JSON.stringify(openApiDocument(), undefined, 2)}\n`,
  },
  { path: faultsPagePath, by: 'node scripts/faults-page.ts', text: faultsPage() },
];

/** How a file is laid out is the formatter's matter. */
function meaning({ path }: GeneratedFile, text: string): string {
  return path.endsWith('.json') && text !== '' ? JSON.stringify(JSON.parse(text)) : text;
}

const stale = files.filter(
  (file) => meaning(file, committed(file.path)) !== meaning(file, file.text),
);
for (const { path, by } of stale) process.stdout.write(`${path} is not current: ${by}\n`);
process.stdout.write(`${files.length} files\n`);
process.exitCode = stale.length === 0 ? 0 : 1;
