/**
 * Installs the Debian packages that tests and the demo use, where we may: as root, with apt-get.
 *
 * Only what is missing, looked for by program, so that an engine installed in another way stays. No
 * service is started. Not installing is not an error: what needs a program skips and names it.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { say } from './setup.mjs';

const wanted = [
  { package: 'docker.io', program: 'dockerd' },
  { package: 'containerd', program: 'containerd' },
  { package: 'runc', program: 'runc' },
  { package: 'busybox-static', program: 'busybox', isEnough: isStatic },
  { package: 'nginx-light', program: 'nginx' },
  { package: 'redis-server', program: 'redis-server' },
  { package: 'openssl', program: 'openssl' },
  { package: 'curl', program: 'curl' },
  { package: 'strace', program: 'strace' },
  { package: 'iproute2', program: 'ip' },
  { package: 'iptables', program: 'iptables' },
  { package: 'e2fsprogs', program: 'mkfs.ext4' },
  { package: 'util-linux', program: 'unshare' },
];

const directories = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
const guardFile = '/usr/sbin/policy-rc.d';
const guard = '#!/bin/sh\n# cofferdam: while packages are installed\nexit 101\n';
const asideFile = `${guardFile}.before-cofferdam`;

/** It goes into images that have no libraries. PT_INTERP names a loader; a static program has none. */
function isStatic(path) {
  return !readFileSync(path).subarray(0, 4096).includes('/ld-');
}

function isMissing({ program, isEnough }) {
  const found = directories.map((directory) => join(directory, program)).find(existsSync);
  return found === undefined || (isEnough !== undefined && !isEnough(found));
}

export async function installPackages(command, notes) {
  const isRoot = process.getuid() === 0;
  if (!isRoot) {
    say(
      `setup: not root: what mounts, attests containers or uses a Docker engine cannot run; ` +
        `tests of it are skipped. To run all: sudo npm run ${command}`,
      notes,
    );
    return;
  }
  const missing = wanted.filter(isMissing).map((row) => row.package);
  if (missing.length === 0) return;
  if (!existsSync('/usr/bin/apt-get')) {
    say(`setup: no apt-get here; tests that need ${missing.join(', ')} are skipped`, notes);
    return;
  }
  say(`setup: apt-get install ${missing.join(' ')} (no service is started)`, notes);
  const removeGuard = startNoServices();
  try {
    const isDone = apt(['install', ...missing], notes);
    if (!isDone) say('setup: not all could be installed; tests that need it say so', notes);
  } finally {
    await removeGuard();
  }
}

function apt(args, notes) {
  const run = (rest) =>
    spawnSync('apt-get', ['-q', '-y', '--no-install-recommends', ...rest], {
      stdio: ['ignore', notes.fd, notes.fd],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    }).status === 0;
  const lists = '/var/lib/apt/lists';
  const hasLists = existsSync(lists) && readdirSync(lists).some((name) => name.includes('_'));
  if (hasLists && run(args)) return true;
  // Without lists, or with old ones that name files which are gone.
  return run(['update']) && run(args);
}

/** Debian's own way of saying that packages may not start services; returns how to take it back. */
function startNoServices() {
  // One of ours that is still there was left by a run that was killed.
  const isOurs = existsSync(guardFile) && readFileSync(guardFile, 'utf8') === guard;
  if (!isOurs && existsSync(guardFile)) renameSync(guardFile, asideFile);
  writeFileSync(guardFile, guard);
  chmodSync(guardFile, 0o755);
  // apt-get is interrupted by the same signal; we stay to tidy up.
  let interruptedBy;
  const note = (signal) => (interruptedBy = signal);
  process.on('SIGINT', note).on('SIGTERM', note);
  return async () => {
    rmSync(guardFile, { force: true });
    if (existsSync(asideFile)) renameSync(asideFile, guardFile);
    // Signals are handed over only now, after the calls that waited for apt-get.
    await new Promise((resolve) => setTimeout(resolve, 10));
    process.off('SIGINT', note).off('SIGTERM', note);
    if (interruptedBy !== undefined) process.exit(130);
  };
}
