/**
 * The gateway in a network of its own, at the far end of a virtual cable, and what can happen on the way
 * there: the kernel drops all packets, or only the farewells, or the gateway's name is not known any more.
 *
 * The rules are in the far network's own firewall: nothing of this machine's is changed.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isInstalled } from './engine.ts';
import type { InstallationNetwork } from './installation.ts';
import { atExit, type TemporaryDirectory, temporaryDirectory } from './left-behind.ts';

export type NetworkOrReason =
  | { readonly network: GatewayNetwork; readonly reason?: undefined }
  | { readonly network?: undefined; readonly reason: string };

const gatewayName = 'gateway.test';
const nodePort = '8444';
const packages = { ip: 'iproute2', iptables: 'iptables', nsenter: 'util-linux' } as const;

/** The resolver is where nobody answers: a name that is not in `hosts` takes time, as in an outage. */
const dropQuestions = ['INPUT', '-p', 'udp', '--dport', '53', '-j', 'DROP'];
const dropAll = [
  ['INPUT', '-p', 'tcp', '--dport', nodePort, '-j', 'DROP'],
  ['OUTPUT', '-p', 'tcp', '--sport', nodePort, '-j', 'DROP'],
];
const dropFarewells = ['FIN', 'RST'].map((flag) => [
  ...['OUTPUT', '-p', 'tcp', '--sport', nodePort, '--tcp-flags', flag, flag, '-j', 'DROP'],
]);

let opened = 0;

export class GatewayNetwork implements InstallationNetwork, Disposable {
  readonly gatewayHost: string;
  /** Of the network namespace, and of our end of the cable. */
  readonly #name: string;
  readonly #cable: string;
  readonly #cableHost: string;
  readonly #files: TemporaryDirectory;
  readonly #left: Disposable;

  private constructor() {
    opened += 1;
    const own = process.pid * 8 + (opened % 8);
    this.#name = `coffer-test-${own}`;
    this.#cable = `cf-${own}`;
    // Of the networks that are set aside for measurements: four addresses, of which two are used.
    const first = (own % 32_768) * 4;
    const network = `198.${18 + (first >> 16)}.${(first >> 8) & 255}`;
    this.#cableHost = `${network}.${(first & 255) + 1}`;
    this.gatewayHost = `${network}.${(first & 255) + 2}`;
    this.#files = temporaryDirectory('coffer-network-');
    this.#left = atExit(() => this.#remove());
  }

  /** Tries it, once: what is installed may not work here. */
  static open(): NetworkOrReason {
    if (process.getuid?.() !== 0) return { reason: 'needs root: sudo npm run verify' };
    const missing = Object.entries(packages).filter(([program]) => !isInstalled(program));
    if (missing.length > 0) {
      return { reason: `needs ${missing.map(([, name]) => `apt-get install ${name}`).join(', ')}` };
    }
    const network = new GatewayNetwork();
    try {
      network.#make();
      return { network };
    } catch (error) {
      network[Symbol.dispose]();
      return { reason: `no network namespaces with a firewall here: ${(error as Error).message}` };
    }
  }

  get gatewayArguments(): readonly string[] {
    return [
      ...['--node-listen', `${this.gatewayHost}:${nodePort}`],
      ...['--node-advertise', `${gatewayName}:${nodePort}`],
    ];
  }

  get gatewayIn(): readonly string[] {
    return ['nsenter', `--net=/run/netns/${this.#name}`];
  }

  /** With its own idea of names, in a mount namespace for that. */
  get enforcerIn(): readonly string[] {
    const names = `mount --bind "$0/hosts" /etc/hosts
      if [ -e /etc/resolv.conf ]; then mount --bind "$0/resolv.conf" /etc/resolv.conf; fi
      exec "$@"`;
    const { path } = this.#files;
    return ['unshare', '--mount', '--propagation', 'slave', 'sh', '-ec', names, path];
  }

  /** Nothing passes between nodes and gateway any more, in either direction. */
  cut(): void {
    this.#drop(dropAll);
  }

  /** Whatever the gateway's machine says at the end of a connection is lost: its nodes do not learn of it. */
  loseFarewells(): void {
    this.#drop(dropFarewells);
  }

  heal(): void {
    this.#drop([]);
  }

  knowName(): void {
    this.#writeHosts(`127.0.0.1 localhost\n${this.gatewayHost} ${gatewayName}\n`);
  }

  forgetName(): void {
    this.#writeHosts('127.0.0.1 localhost\n');
  }

  [Symbol.dispose](): void {
    this.#left[Symbol.dispose]();
    this.#remove();
    this.#files[Symbol.dispose]();
  }

  #make(): void {
    run('ip', 'netns', 'add', this.#name);
    run('ip', 'link', 'add', this.#cable, 'type', 'veth', 'peer', 'far', 'netns', this.#name);
    run('ip', 'address', 'add', `${this.#cableHost}/30`, 'dev', this.#cable);
    run('ip', 'link', 'set', this.#cable, 'up');
    run('ip', '-n', this.#name, 'address', 'add', `${this.gatewayHost}/30`, 'dev', 'far');
    for (const link of ['far', 'lo']) run('ip', '-n', this.#name, 'link', 'set', link, 'up');
    this.heal();
    writeFileSync(join(this.#files.path, 'resolv.conf'), resolver(this.gatewayHost));
    this.knowName();
  }

  #drop(rules: readonly (readonly string[])[]): void {
    const [program = '', ...words] = this.gatewayIn;
    const firewall = (...rule: readonly string[]): void =>
      run(program, ...words, 'iptables', '-w', ...rule);
    firewall('-F');
    for (const rule of [dropQuestions, ...rules]) firewall('-A', ...rule);
  }

  /** In place: it is this file that is mounted, whatever has its name. */
  #writeHosts(text: string): void {
    writeFileSync(join(this.#files.path, 'hosts'), text);
  }

  /** Also of what was only half made. */
  #remove(): void {
    for (const words of [
      ['link', 'delete', this.#cable],
      ['netns', 'delete', this.#name],
    ]) {
      spawnSync('ip', words, { env: environment });
    }
  }
}

const environment = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };

function run(program: string, ...words: readonly string[]): void {
  const { status, stderr } = spawnSync(program, words, { env: environment, encoding: 'utf8' });
  if (status === 0) return;
  throw new Error(`${program} ${words.join(' ')}: ${stderr?.trim() ?? 'cannot be started'}`);
}

const resolver = (address: string): string =>
  `nameserver ${address}\noptions timeout:1 attempts:1\n`;
