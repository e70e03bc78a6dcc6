/**
 * Goal: an enforcer whose mount thread has ended by a bug ends too, and its successor does what it could
 * not (G26, G30).
 * Method: a whole installation; a module that is loaded into the thread throws there from a moment on.
 * Control: until that moment, the same enforcer with the same module delivers.
 */
import { equal, ok } from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { systemClock } from '../base/clock.ts';
import { parseName, parseSecretName } from '../model/name.ts';
import { SecretValue } from '../model/secret-value.ts';
import { Installation } from '../testing/installation.ts';
import { whyNoContainers } from '../testing/namespace-container.ts';
import { readInside } from '../testing/story.ts';
import { until } from '../testing/until.ts';
import { launchNamespaced } from './runtime/launch-namespaced.ts';

/** Throws at the next command of a mount, once the file is there. */
const bugWhen = (file: string): string => `
  import { existsSync } from 'node:fs';
  import { isMainThread } from 'node:worker_threads';
  const sound = Map.prototype.get;
  if (!isMainThread) Map.prototype.get = function (key) {
    if (String(key).startsWith('wld_') && existsSync(${JSON.stringify(file)})) {
      throw new TypeError('planted');
    }
    return sound.call(this, key);
  };`;

const skip = whyNoContainers();

test('an enforcer ends with its mount thread, and the next one withdraws', { skip }, async () => {
  await using stack = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), 'coffer-thread-'));
  stack.defer(() => rmSync(directory, { recursive: true }));
  const processDirectory = join(directory, 'processes');
  const app = stack.use(
    await launchNamespaced({
      ...{ clock: systemClock, directory: processDirectory, id: 'app', name: 'app' },
      ...{
        command: ['sleep', '600'],
        uid: 1000,
        gid: 1000,
        labels: { app: 'app' },
        output: 'ignore',
      },
    }),
  );
  const plant = join(directory, 'plant.mjs');
  const moment = join(directory, 'moment');
  writeFileSync(plant, bugWhen(moment));
  const said: string[] = [];
  const installation = stack.use(
    await Installation.start({
      runtime: { processDirectory },
      enforcerNodeFlags: ['--import', pathToFileURL(plant).href],
      onLog: (_program, line) => said.push(line),
    }),
  );
  const { client } = installation;
  const name = parseSecretName('app/token');
  using value = SecretValue.copy(Buffer.from('v1'));
  await client.call('secret.put', { name }, { value });
  const group = parseName('app');
  const match = { process: { labels: { app: 'app' } } };
  await client.call('group.put', { name: group, match }, { ifRevision: 0 });
  await client.call('grant.put', { group, secrets: [{ secret: name }] }, { ifRevision: 0 });
  const inside = (): string | undefined => readInside(app.identity.pid, '/run/secrets/token');
  await until('control: it is delivered', () => inside() === 'v1');

  writeFileSync(moment, '');
  const { enforcer } = installation;
  await client.call('secret.revoke', { name });
  await until('the enforcer has ended', () => enforcer?.child.exitCode !== null);
  equal(enforcer?.child.exitCode, 1);
  ok(said.some((line) => line.includes('"event":"mount.ended"') && line.includes('TypeError')));
  equal(inside(), 'v1', 'what is in place stays for the successor');

  rmSync(moment);
  await installation.startEnforcer();
  await until('the successor has withdrawn it', () => inside() === undefined);
  ok(!existsSync(moment));
});
