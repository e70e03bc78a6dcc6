/**
 * Goal: the systemd units say what systemd understands, and give neither program up.
 * Method: systemd's own check of copies that start this tree's node, and the one setting that it would take
 * either way. Control: a unit with a planted mistake.
 */
import { deepEqual, equal } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';

const root = dirname(import.meta.dirname);
const units = ['coffer-gateway.service', 'coffer-enforcer.service'] as const;
const read = (unit: string): string => readFileSync(join(root, 'deploy', unit), 'utf8');

const [, version] = /^systemd (\d+)/.exec(analyze('--version')) ?? [];
const skip = version === undefined ? 'needs systemd-analyze: apt-get install systemd' : false;
/** As their comments say, a systemd that does not know these goes on without them. */
const newKeys = /Unknown key(?: name)? 'Restart(?:Steps|MaxDelaySec)'/;

function analyze(...argv: readonly string[]): string {
  const { stdout, stderr } = spawnSync('systemd-analyze', argv, { encoding: 'utf8' });
  return `${stdout ?? ''}${stderr ?? ''}`;
}

function complaints(t: TestContext, unit: string, text: string): readonly string[] {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-units-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, unit);
  // It looks whether the program is there, and would look for the manual at the same place.
  const local = text.replace(/^Documentation=.*\n/m, '').replaceAll('/opt/cofferdam', root);
  writeFileSync(path, local);
  const said = analyze('verify', '--man=no', '--recursive-errors=no', path);
  const isOld = Number(version) < 254;
  return said.split('\n').filter((line) => line !== '' && !(isOld && newKeys.test(line)));
}

for (const unit of units) {
  test(`systemd has nothing to say about ${unit}`, { skip }, (t) => {
    deepEqual(complaints(t, unit, read(unit)), []);
  });

  test(`${unit} is started again for as long as it fails`, () => {
    const [unitSection = '', serviceSection = ''] = read(unit).split('[Service]');
    equal(/^StartLimitIntervalSec=(.*)$/m.exec(unitSection)?.[1], '0');
    equal(/^Restart=(?:always|on-failure)$/m.test(serviceSection), true);
  });
}

test('control: a mistake in a unit is found', { skip }, (t) => {
  const [, unit] = units;
  const wrong = read(unit).replace('KillMode=process', 'KillMode=prozess');
  equal(complaints(t, unit, wrong).length, 1);
});
