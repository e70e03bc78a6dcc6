/** What a gateway can be told, by flag or environment. Everything has a safe default. */
import {
  commonFlags,
  describeFlags,
  type FlagSpec,
  type Flags,
  hostAndPort,
  readFlags,
  wholeNumber,
} from '../base/flags.ts';
import { Fault } from '../base/fault.ts';
import { limits } from '../base/limits.ts';
import { type LogLevel, logLevels } from '../base/log.ts';
import { isTrustDomain } from '../crypto/x509.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface GatewayConfig {
  /** Mode 0700. Holds the store, and the HTTPS certificate. */
  readonly dataDirectory: string;
  /** For people and CI. */
  readonly listen: Address;
  /** For nodes. */
  readonly nodeListen: Address;
  /** `host:port` as others reach them; written into join tokens and certificates. */
  readonly advertise: string;
  readonly nodeAdvertise: string;
  /** PEM files of a certificate of your own for the HTTPS port; else one of our authority. */
  readonly tls: { readonly certificateFile: string; readonly keyFile: string } | undefined;
  /** Of the key-file seal. Development only: keep it on another device. */
  readonly keyFile: string | undefined;
  readonly trustDomain: string;
  readonly leaseMs: number;
  /** Without a flag: nobody needs another than a day, but tests cannot wait for one. */
  readonly nodeCertificateMs?: number;
  readonly logLevel: LogLevel;
}

const leaseSecondsDefault = limits.leaseMsDefault / 1000;

export const gatewayFlags = {
  data: {
    value: 'DIR',
    help: 'directory of the store and the HTTPS certificate (/var/lib/coffer/gateway)',
  },
  listen: { value: 'HOST:PORT', help: 'address for people and CI (127.0.0.1:8443)' },
  'node-listen': { value: 'HOST:PORT', help: 'address for nodes (127.0.0.1:8444)' },
  advertise: { value: 'HOST:PORT', help: 'address at which others reach --listen (the same)' },
  'node-advertise': {
    value: 'HOST:PORT',
    help: 'address at which nodes reach --node-listen (the same)',
  },
  'tls-certificate': {
    value: 'FILE',
    help: 'your own certificate chain for --listen (PEM); may be replaced',
  },
  'tls-key': { value: 'FILE', help: 'the key of that certificate (PEM)' },
  'key-file': { value: 'FILE', help: 'key file of the keyfile seal; development only' },
  'trust-domain': { value: 'NAME', help: 'in the SPIFFE ids of nodes (cofferdam)' },
  'lease-seconds': {
    value: 'N',
    help: `how long nodes keep secrets without hearing from the gateway (${leaseSecondsDefault})`,
  },
  'log-level': { value: 'LEVEL', suggests: logLevels, help: 'debug, info, warn or error (info)' },
  ...commonFlags,
} as const satisfies Record<string, FlagSpec>;

export const gatewayFlagsHelp = describeFlags(gatewayFlags);

/** @throws Fault `request.invalid` naming the flag. */
export function readGatewayConfig(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): GatewayConfig {
  return gatewayConfig(readFlags(gatewayFlags, argv, env));
}

export function gatewayConfig(flags: Flags<typeof gatewayFlags>): GatewayConfig {
  const listen = hostAndPort('listen', flags.listen ?? '127.0.0.1:8443');
  const nodeListen = hostAndPort('node-listen', flags['node-listen'] ?? '127.0.0.1:8444');
  const trustDomain = flags['trust-domain'] ?? 'cofferdam';
  if (!isTrustDomain(trustDomain)) throw wrong('trust-domain', 'must be a lower-case host name');
  const [certificateFile, keyFile] = [flags['tls-certificate'], flags['tls-key']];
  if ((certificateFile === undefined) !== (keyFile === undefined)) {
    throw wrong('tls-certificate', 'goes with --tls-key');
  }
  const logLevel = logLevels.find((name) => name === (flags['log-level'] ?? 'info'));
  if (!logLevel) throw wrong('log-level', `must be one of ${logLevels.join(', ')}`);
  const leaseBounds = { min: limits.leaseMsMin / 1000, max: limits.leaseMsMax / 1000 };
  const leaseText = flags['lease-seconds'] ?? `${leaseSecondsDefault}`;
  const leaseSeconds = wholeNumber('lease-seconds', leaseText, leaseBounds);
  return {
    dataDirectory: flags.data ?? '/var/lib/coffer/gateway',
    listen,
    nodeListen,
    advertise: flags.advertise ?? textOf(listen),
    nodeAdvertise: flags['node-advertise'] ?? textOf(nodeListen),
    tls:
      certificateFile === undefined || keyFile === undefined
        ? undefined
        : { certificateFile, keyFile },
    keyFile: flags['key-file'],
    trustDomain,
    leaseMs: leaseSeconds * 1000,
    logLevel,
  };
}

export function textOf(address: Address): string {
  const host = address.host === '' ? 'localhost' : address.host;
  return host.includes(':') ? `[${host}]:${address.port}` : `${host}:${address.port}`;
}

/** Port 0 stands for whichever was free. */
export function withPort(address: string, port: number): string {
  return address.endsWith(':0') ? `${address.slice(0, -1)}${port}` : address;
}

function wrong(flag: string, problem: string): Fault {
  return new Fault('request.invalid', { what: `--${flag}`, problem });
}
