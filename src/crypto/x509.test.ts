/**
 * Goal: certificates say what we passed in and nothing else, requests prove possession, and no bad
 * certificate is taken for an identity (V17, G22).
 * Method: OpenSSL reads what we write and runs a mutual TLS 1.3 handshake with it; requests made by
 * another implementation are read; a table of bad certificates, each made with our own authority's
 * real key unless the case says otherwise. Control of the table: the good certificate.
 */
import { deepEqual, equal, match, ok, throws } from 'node:assert/strict';
import {
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  type webcrypto,
  X509Certificate,
} from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { connect, createServer, type TLSSocket } from 'node:tls';
import 'reflect-metadata';
import { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } from '@peculiar/x509';
import { systemRandom as random } from '../base/random.ts';
import {
  type IdentityRefusal,
  keyPin,
  readGatewayIdentity,
  readNodeIdentity,
} from './certificate-identity.ts';
import { checkCsr, makeCsr, signDer } from './csr.ts';
import { der, derBitString, derInteger, derSequence, derTags, readDer } from './der.ts';
import {
  type Authority,
  type CertificateContent,
  clockSkewMs,
  extendedKeyUsages,
  generateCertificateKey,
  issueGatewayCertificate,
  issueNodeCertificate,
  makeAuthority,
  readAuthority,
  signCertificate,
} from './x509.ts';

const trustDomain = 'coffer.example';
const nowMs = Date.UTC(2026, 5, 1, 12);
const dayMs = 24 * 3_600_000;
const authorityOptions = { commonName: 'Cofferdam authority', trustDomain, nowMs, random };
const authority = makeAuthority({ ...authorityOptions, lifetimeMs: 3650 * dayMs });
const sameName = makeAuthority({ ...authorityOptions, lifetimeMs: 3650 * dayMs });
const nodeKey = generateCertificateKey();
const leaf = {
  publicKey: createPublicKey(nodeKey),
  trustDomain,
  nowMs,
  lifetimeMs: dayMs,
  random,
};
const context = { authority: authority.certificate, trustDomain, nowMs };

test('issueNodeCertificate writes what it was told, and OpenSSL agrees', () => {
  const certificate = issueNodeCertificate(authority, { ...leaf, nodeName: 'worker-1' });
  equal(certificate.subject, 'CN=worker-1');
  equal(certificate.issuer, 'CN=Cofferdam authority');
  equal(certificate.subjectAltName, 'URI:spiffe://coffer.example/node/worker-1');
  deepEqual(certificate.keyUsage, [extendedKeyUsages.clientAuth]);
  equal(certificate.ca, false);
  equal(certificate.validFromDate.getTime(), nowMs - clockSkewMs);
  equal(certificate.validToDate.getTime(), nowMs + dayMs);
  equal(certificate.serialNumber.length, 32);
  ok(certificate.checkPrivateKey(nodeKey));
  deepEqual(readNodeIdentity(certificate, context), { kind: 'node', name: 'worker-1' });
  const again = issueNodeCertificate(authority, { ...leaf, nodeName: 'worker-1' });
  ok(again.serialNumber !== certificate.serialNumber);
  equal(keyPin(again), keyPin(certificate));
  match(keyPin(certificate), /^sha256:[0-9a-f]{64}$/);
  for (const nodeName of ['', 'Worker', 'a/b', 'a..b', '-a', 'a '.repeat(40), '../x']) {
    throws(() => issueNodeCertificate(authority, { ...leaf, nodeName }));
  }
});

test('issueGatewayCertificate names hosts and addresses', () => {
  const certificate = issueGatewayCertificate(authority, {
    ...leaf,
    dnsNames: ['gateway.example', 'localhost'],
    ipAddresses: ['127.0.0.1', '::1', '2001:db8::7', '::ffff:10.0.0.1', 'fe80:1:2:3:4:5:6:7'],
  });
  equal(certificate.checkHost('gateway.example'), 'gateway.example');
  equal(certificate.checkHost('other.example'), undefined);
  for (const address of ['127.0.0.1', '::1', '2001:db8::7', 'fe80:1:2:3:4:5:6:7']) {
    ok(certificate.checkIP(address) !== undefined, address);
  }
  equal(certificate.checkIP('127.0.0.2'), undefined);
  deepEqual(readGatewayIdentity(certificate, context), { kind: 'gateway' });
  deepEqual(readNodeIdentity(certificate, context), { kind: 'refused', reason: 'wrong-usage' });
  const badAddress = { ...leaf, dnsNames: [], ipAddresses: ['fe80::1%eth0'] };
  throws(() => issueGatewayCertificate(authority, badAddress));
});

test('No leaf outlives its authority, and far years have the other time format', () => {
  const short = makeAuthority({ ...authorityOptions, lifetimeMs: dayMs / 2 });
  const certificate = issueNodeCertificate(short, { ...leaf, nodeName: 'worker-1' });
  equal(certificate.validToDate.getTime(), nowMs + dayMs / 2);
  const late = makeAuthority({ ...authorityOptions, lifetimeMs: 40 * 365 * dayMs });
  equal(late.certificate.validToDate.getTime(), nowMs + 40 * 365 * dayMs);
});

test('readAuthority accepts a stored authority and no other pair', () => {
  const pkcs8 = (from: Authority): Buffer =>
    from.privateKey.export({ format: 'der', type: 'pkcs8' });
  const stored = readAuthority(authority.certificate.raw, pkcs8(authority));
  equal(stored?.certificate.fingerprint256, authority.certificate.fingerprint256);
  equal(readAuthority(authority.certificate.raw, pkcs8(sameName)), undefined);
  equal(readAuthority(Buffer.alloc(10), pkcs8(authority)), undefined);
  equal(readAuthority(authority.certificate.raw, Buffer.alloc(10)), undefined);
  const node = issueNodeCertificate(authority, { ...leaf, nodeName: 'worker-1' });
  const nodePkcs8 = nodeKey.export({ format: 'der', type: 'pkcs8' });
  equal(readAuthority(node.raw, nodePkcs8), undefined, 'a leaf is no authority');
});

test('readAuthority leaves no copy of the key in memory that others may be given', (t) => {
  const copies: Buffer[] = [];
  const { from } = Buffer;
  t.mock.method(Buffer, 'from', (...given: Parameters<typeof from>) => {
    const made = from.apply(Buffer, given);
    copies.push(made);
    return made;
  });
  const pkcs8 = authority.privateKey.export({ format: 'der', type: 'pkcs8' });
  const kept = () => copies.filter((copy) => copy.includes(pkcs8.subarray(-64))).length;
  ok(readAuthority(authority.certificate.raw, pkcs8));
  equal(kept(), 0);
  Buffer.from(pkcs8);
  equal(kept(), 1, 'control');
});

test('readNodeIdentity refuses every bad certificate, each for its reason', () => {
  const id = `spiffe://${trustDomain}/node/worker-1`;
  const good: CertificateContent = {
    commonName: 'worker-1',
    publicKey: leaf.publicKey,
    notBeforeMs: nowMs - clockSkewMs,
    notAfterMs: nowMs + dayMs,
    isAuthority: false,
    alternativeNames: [{ kind: 'uri', value: id }],
    extendedKeyUsages: [extendedKeyUsages.clientAuth],
  };
  const issuer = { commonName: 'Cofferdam authority', ...authority };
  const read = (content: Partial<CertificateContent>, by: object = {}): unknown => {
    const certificate = signCertificate({ ...issuer, ...by }, { ...good, ...content }, random);
    const identity = readNodeIdentity(certificate, context);
    return identity.kind === 'refused' ? identity.reason : identity.name;
  };
  equal(read({}), 'worker-1', 'control');

  const wrongContents: [IdentityRefusal, string, Partial<CertificateContent>][] = [
    ['expired', 'expired', { notAfterMs: nowMs - 1000 }],
    ['not-yet-valid', 'not yet valid', { notBeforeMs: nowMs + 1000 }],
    ['is-authority', 'an authority as a leaf', { isAuthority: true }],
    ['wrong-usage', 'no extended usage', { extendedKeyUsages: [] }],
    ['wrong-usage', 'a server', { extendedKeyUsages: [extendedKeyUsages.serverAuth] }],
    ['wrong-usage', 'server and client', { extendedKeyUsages: Object.values(extendedKeyUsages) }],
    ['wrong-usage', 'any usage', { extendedKeyUsages: ['2.5.29.37.0'] }],
    ['wrong-names', 'no name', { alternativeNames: [] }],
    ['wrong-names', 'two ids', { alternativeNames: [uri(id), uri(`${id}2`)] }],
    ['wrong-names', 'the same id twice', { alternativeNames: [uri(id), uri(id)] }],
    ['wrong-names', 'a host too', { alternativeNames: [uri(id), { kind: 'dns', value: 'a' }] }],
    ['other-trust-domain', 'a host only', { alternativeNames: [{ kind: 'dns', value: 'a' }] }],
  ];
  for (const [reason, name, content] of wrongContents) equal(read(content), reason, name);

  const wrongIds: [IdentityRefusal, string][] = [
    ['other-trust-domain', 'spiffe://other.example/node/worker-1'],
    ['other-trust-domain', 'spiffe://coffer.example.evil/node/worker-1'],
    ['other-trust-domain', 'spiffe://coffer.exampl/node/worker-1'],
    ['other-trust-domain', 'SPIFFE://coffer.example/node/worker-1'],
    ['other-trust-domain', 'spiffe://Coffer.example/node/worker-1'],
    ['other-trust-domain', 'spiffe://coffer.example:443/node/worker-1'],
    ['other-trust-domain', 'spiffe://user@coffer.example/node/worker-1'],
    ['other-trust-domain', 'https://coffer.example/node/worker-1'],
    ['other-trust-domain', 'spiffe://coffer.example'],
    ['other-trust-domain', ' spiffe://coffer.example/node/worker-1'],
    ['wrong-id', 'spiffe://coffer.example/'],
    ['wrong-id', 'spiffe://coffer.example/gateway'],
    ['wrong-id', 'spiffe://coffer.example/node/'],
    ['wrong-id', 'spiffe://coffer.example/node'],
    ['wrong-id', 'spiffe://coffer.example//node/worker-1'],
    ['wrong-id', 'spiffe://coffer.example/node//worker-1'],
    ['wrong-id', 'spiffe://coffer.example/node/worker-1/'],
    ['wrong-id', 'spiffe://coffer.example/node/worker-1/x'],
    ['wrong-id', 'spiffe://coffer.example/Node/worker-1'],
    ['wrong-id', 'spiffe://coffer.example/node/Worker-1'],
    ['wrong-id', 'spiffe://coffer.example/node/worker%2d1'],
    ['wrong-id', 'spiffe://coffer.example/node/worker-1?x'],
    ['wrong-id', 'spiffe://coffer.example/node/worker-1#x'],
    ['wrong-id', 'spiffe://coffer.example/node/worker-1 '],
    ['wrong-id', 'spiffe://coffer.example/node/../node/worker-1'],
    ['wrong-id', 'spiffe://coffer.example/node/.'],
    ['wrong-id', 'spiffe://coffer.example/node/a..b'],
    ['wrong-id', 'spiffe://coffer.example/workload/worker-1'],
    ['wrong-names', 'spiffe://coffer.example/node/worker-1, URI:x'],
    ['wrong-names', 'spiffe://coffer.example/node/worker-1\u0001'],
  ];
  for (const [reason, wrong] of wrongIds) {
    equal(read({ alternativeNames: [uri(wrong)] }), reason, wrong);
  }

  equal(read({}, sameName), 'other-authority', 'another authority of the same name');
  equal(read({}, { commonName: 'Another' }), 'other-authority', 'our key under another name');
  const otherKey = { privateKey: sameName.privateKey };
  equal(read({}, otherKey), 'other-authority', 'our key id, signed by another key');
  const selfSigned = { commonName: 'worker-1', privateKey: nodeKey, certificate: undefined };
  equal(read({}, selfSigned), 'other-authority', 'signed by itself');
  const node = issueNodeCertificate(authority, { ...leaf, nodeName: 'worker-2' });
  const byNode = { commonName: 'worker-2', privateKey: nodeKey, certificate: node };
  equal(read({}, byNode), 'other-authority', 'signed by another node');
  equal(
    readNodeIdentity(authority.certificate, context).kind,
    'refused',
    'the authority itself is no node',
  );
});

test('readNodeIdentity refuses what outlives its authority', () => {
  const short = makeAuthority({ ...authorityOptions, lifetimeMs: dayMs });
  const certificate = signCertificate(
    { commonName: 'Cofferdam authority', ...short },
    {
      commonName: 'worker-1',
      publicKey: leaf.publicKey,
      notBeforeMs: nowMs,
      notAfterMs: nowMs + 2 * dayMs,
      isAuthority: false,
      alternativeNames: [uri(`spiffe://${trustDomain}/node/worker-1`)],
      extendedKeyUsages: [extendedKeyUsages.clientAuth],
    },
    random,
  );
  const at = (ms: number): unknown =>
    readNodeIdentity(certificate, { authority: short.certificate, trustDomain, nowMs: ms });
  deepEqual(at(nowMs + dayMs), { kind: 'node', name: 'worker-1' }, 'control');
  deepEqual(at(nowMs + dayMs + 1000), { kind: 'refused', reason: 'expired' });
});

test('an authority says that it signs leaves only', () => {
  // basicConstraints: cA TRUE, pathLenConstraint 0.
  const leavesOnly = Buffer.from('30060101ff020100', 'hex');
  ok(authority.certificate.raw.includes(leavesOnly));
  const node = issueNodeCertificate(authority, { ...leaf, nodeName: 'worker-1' });
  ok(!node.raw.includes(leavesOnly), 'control');
});

test('readGatewayIdentity refuses nodes, consoles and doubles', () => {
  const read = (names: CertificateContent['alternativeNames'], usage: string): string => {
    const certificate = signCertificate(
      { commonName: 'Cofferdam authority', ...authority },
      {
        commonName: 'gateway',
        publicKey: leaf.publicKey,
        notBeforeMs: nowMs,
        notAfterMs: nowMs + dayMs,
        isAuthority: false,
        alternativeNames: names,
        extendedKeyUsages: [usage],
      },
      random,
    );
    const identity = readGatewayIdentity(certificate, context);
    return identity.kind === 'refused' ? identity.reason : identity.kind;
  };
  const { serverAuth, clientAuth } = extendedKeyUsages;
  const gateway = uri('spiffe://coffer.example/gateway');
  const host = { kind: 'dns', value: 'gateway.example' } as const;
  equal(read([gateway, host], serverAuth), 'gateway', 'control');
  equal(read([gateway, host], clientAuth), 'wrong-usage');
  equal(read([host], serverAuth), 'wrong-names');
  equal(read([gateway, gateway, host], serverAuth), 'wrong-names');
  equal(read([uri('spiffe://coffer.example/console'), host], serverAuth), 'wrong-id');
  equal(read([uri('spiffe://coffer.example/node/gateway')], serverAuth), 'wrong-id');
  equal(read([uri('spiffe://other.example/gateway')], serverAuth), 'other-trust-domain');
});

test('checkCsr accepts both kinds of key, of our making and of others', async () => {
  const ed25519 = generateKeyPairSync('ed25519').privateKey;
  for (const key of [nodeKey, ed25519]) {
    const checked = checkCsr(makeCsr(key));
    ok(checked.kind === 'checked');
    ok(checked.publicKey.equals(createPublicKey(key)));
    const nodeName = 'worker-1';
    const certificate = issueNodeCertificate(authority, { ...leaf, ...checked, nodeName });
    ok(certificate.checkPrivateKey(key));
  }
  const foreign = await foreignCsr({ name: 'ECDSA', namedCurve: 'P-256' });
  const checked = checkCsr(foreign);
  ok(checked.kind === 'checked');
  const certificate = issueNodeCertificate(authority, {
    ...leaf,
    ...checked,
    nodeName: 'worker-1',
  });
  equal(certificate.subject, 'CN=worker-1', 'not what the request asked for');
  equal(certificate.subjectAltName, 'URI:spiffe://coffer.example/node/worker-1');
});

test('checkCsr refuses other keys, other signers and every single-bit change', async () => {
  const reason = (request: Uint8Array): string => {
    const checked = checkCsr(request);
    return checked.kind === 'refused' ? checked.reason : checked.kind;
  };
  const csr = makeCsr(nodeKey);
  equal(reason(csr), 'checked', 'control');
  for (let bit = 0; bit < csr.length * 8; bit++) {
    const changed = Buffer.from(csr);
    changed[bit >> 3] = changed[bit >> 3]! ^ (1 << (bit & 7));
    ok(reason(changed) !== 'checked', `bit ${bit}`);
  }
  equal(reason(await foreignCsr({ name: 'ECDSA', namedCurve: 'P-384' })), 'wrong-key-type');
  const rsa = {
    name: 'RSASSA-PKCS1-v1_5',
    modulusLength: 2048,
    publicExponent: Buffer.of(1, 0, 1),
  };
  equal(reason(await foreignCsr({ ...rsa, hash: 'SHA-256' })), 'wrong-key-type');

  const other = makeCsr(generateCertificateKey());
  const [ownParts, otherParts] = [csr, other].map((each) => readDer(readDer(each)![0]!.content)!);
  equal(
    reason(wrap([ownParts![0]!.whole, ownParts![1]!.whole, otherParts![2]!.whole])),
    'wrong-signature',
  );
  for (const wrong of [
    Buffer.alloc(0),
    Buffer.alloc(5000, 0x30),
    csr.subarray(0, -1),
    Buffer.concat([csr, Buffer.of(0)]),
    authority.certificate.raw,
    Buffer.from('-----BEGIN CERTIFICATE REQUEST-----'),
  ]) {
    equal(reason(wrong), 'malformed');
  }
});

test('checkCsr refuses whatever is not exactly a request, also when it is signed', () => {
  const p256 = Buffer.from(createPublicKey(nodeKey).export({ format: 'der', type: 'spki' }));
  const [algorithm, point] = readDer(readDer(p256)![0]!.content)!;
  const [x, y] = [point!.content.subarray(2, 34), point!.content.subarray(34)];
  // The same key, as its x and the sign of its y: OpenSSL reads it, and we want one spelling.
  const half = Buffer.concat([Buffer.of(2 + (y.at(-1)! & 1)), x]);
  const compressed = derSequence(algorithm!.whole, derBitString(half));
  ok(createPublicKey({ key: compressed, format: 'der', type: 'spki' }), 'control: a key');

  const signed = (change: {
    readonly version?: number;
    readonly spki?: Buffer;
    readonly attributes?: Buffer;
    readonly inside?: Buffer;
    readonly after?: Buffer;
    readonly unusedBits?: number;
  }): string => {
    const { version = 0, spki = p256, attributes, inside, after, unusedBits = 0 } = change;
    const info = derSequence(
      derInteger(Buffer.of(version)),
      derSequence(),
      spki,
      der(0xa0, attributes ?? Buffer.alloc(0)),
      inside ?? Buffer.alloc(0),
    );
    const { algorithm: by, signature } = signDer(info, nodeKey);
    const bits = derBitString(signature, unusedBits);
    const checked = checkCsr(derSequence(info, by, bits, after ?? Buffer.alloc(0)));
    return checked.kind === 'refused' ? checked.reason : checked.kind;
  };
  const more = derInteger(Buffer.of(1));
  equal(signed({}), 'checked', 'control');
  equal(signed({ attributes: more }), 'checked', 'control: attributes are not looked at');
  equal(signed({ attributes: der(derTags.octetString, Buffer.alloc(5000)) }), 'malformed');
  equal(signed({ version: 1 }), 'malformed');
  equal(signed({ inside: more }), 'malformed');
  equal(signed({ after: more }), 'malformed');
  equal(signed({ unusedBits: 1 }), 'malformed');
  equal(signed({ spki: compressed }), 'wrong-key-type');
});

test('readDer accepts distinguished encodings only', () => {
  ok(readDer(Buffer.from('30030201ff', 'hex')) !== undefined, 'control');
  for (const wrong of [
    '30',
    '3081',
    '308003',
    '30810302010f',
    '3082000302010f',
    '1f8101',
    '3003',
  ]) {
    equal(readDer(Buffer.from(wrong, 'hex')), undefined, wrong);
  }
  equal(readDer(Buffer.from('30800201000000', 'hex')), undefined, 'indefinite length');
});

test('Issued certificates carry a mutual TLS 1.3 handshake', async () => {
  const now = Date.now();
  const live = makeAuthority({ ...authorityOptions, nowMs: now, lifetimeMs: dayMs });
  const gatewayKey = generateCertificateKey();
  const gateway = issueGatewayCertificate(live, {
    ...leaf,
    nowMs: now,
    publicKey: createPublicKey(gatewayKey),
    dnsNames: [],
    ipAddresses: ['127.0.0.1'],
  });
  const node = issueNodeCertificate(live, { ...leaf, nowMs: now, nodeName: 'worker-1' });
  const common = { ca: live.certificate.toString(), minVersion: 'TLSv1.3' } as const;
  const pem = (key: KeyObject): string => key.export({ format: 'pem', type: 'pkcs8' });
  const server = createServer({
    ...common,
    cert: gateway.toString(),
    key: pem(gatewayKey),
    requestCert: true,
    rejectUnauthorized: true,
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const port = (server.address() as AddressInfo).port;
  const client = connect({
    ...common,
    host: '127.0.0.1',
    port,
    cert: node.toString(),
    key: pem(nodeKey),
  });
  const [accepted] = (await once(server, 'secureConnection')) as [TLSSocket];
  if (!client.authorized) await once(client, 'secureConnect');
  const liveContext = { authority: live.certificate, trustDomain, nowMs: now };
  const peer = new X509Certificate(accepted.getPeerX509Certificate()!.raw);
  deepEqual(readNodeIdentity(peer, liveContext), { kind: 'node', name: 'worker-1' });
  const seen = new X509Certificate(client.getPeerX509Certificate()!.raw);
  deepEqual(readGatewayIdentity(seen, liveContext), { kind: 'gateway' });
  client.destroy();
  accepted.destroy();
  server.close();
  await once(server, 'close');
});

function uri(value: string): CertificateContent['alternativeNames'][number] {
  return { kind: 'uri', value };
}

function wrap(parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([0x30, 0x81, content.length]), content]);
}

/** A request by another implementation, which asks for more than it may have. */
async function foreignCsr(algorithm: {
  readonly name: string;
  readonly [parameter: string]: unknown;
}): Promise<Buffer> {
  const keys = (await crypto.subtle.generateKey(algorithm, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair;
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: 'CN=root, O=Evil',
    keys,
    signingAlgorithm: { name: algorithm.name, hash: 'SHA-256' },
    extensions: [
      new SubjectAlternativeNameExtension([{ type: 'url', value: 'spiffe://x/gateway' }]),
    ],
  });
  return Buffer.from(request.rawData);
}
