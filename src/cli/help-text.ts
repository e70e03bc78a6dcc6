/** The help that is not about one command: the overview, and the exit codes. */
import { catalogue } from './catalogue.ts';
import { formatRows } from './table.ts';

const examples = `Examples:
  coffer context add prod --server https://gateway.example:8443 --ca ca.pem
  coffer secret put payments/db-password
  coffer apply -f policy/
  coffer where payments/db-password
`;

export function overviewText(): string {
  const groups = [...new Set(catalogue.map(({ group }) => group))];
  const sections = groups.map((group) => {
    const rows = catalogue
      .filter((entry) => entry.group === group)
      .map(({ noun, summary }) => [`  ${noun}`, summary]);
    return `${group}:\n${formatRows(rows)}`;
  });
  return `coffer: secrets in the memory of exactly the containers that are entitled to them

${examples}
${sections.join('\n')}
Usage:
  coffer <noun> <verb> [words] [options]

\`coffer <noun> --help\` lists the verbs of a noun, \`coffer <noun> <verb> --help\` explains one.
More: \`coffer help options\`, \`coffer help environment\`, \`coffer help exit-codes\`.
`;
}

/** The meaning of each exit code; a test holds it against the fault table. */
export const exitCodes: Readonly<Record<number, string>> = {
  0: 'success',
  1: 'any failure without a code of its own; `doctor` and `audit verify`: a problem was found',
  2: 'wrong usage or invalid input',
  3: 'not found',
  4: 'not permitted',
  5: 'not authenticated',
  6: 'conflict: it already exists, it changed in the meantime, or a precondition failed',
  7: 'the gateway cannot be reached or used, or is not the one that is meant',
  8: 'the gateway is sealed',
  10: '`diff`, and `apply --dry-run=server --exit-code`: there are differences',
  124: 'it took longer than --timeout',
  130: 'interrupted',
  141: 'the reader of the output went away',
};

/** What `coffer help` explains besides commands. */
export const helpTopics: readonly string[] = ['options', 'environment', 'exit-codes'];

export function exitCodesText(): string {
  const rows = Object.entries(exitCodes).map(([code, meaning]) => [`  ${code}`, meaning]);
  return `Exit codes:\n${formatRows(rows)}`;
}

export function environmentText(): string {
  const rows = [
    ['COFFER_ADDR', 'the gateway: https://host:port; then no context is used'],
    ['COFFER_CONTEXT', 'the context to use'],
    ['COFFER_TOKEN', 'the token; COFFER_TOKEN_FILE is safer'],
    ['COFFER_TOKEN_FILE', 'a file with the token, readable only by you'],
    ['COFFER_CACERT', 'a file with the authorities (PEM) to verify the gateway with'],
    ['COFFER_PIN', 'a public key in the chain of the gateway: sha256:…, several with commas'],
    ['COFFER_OUTPUT', 'the output format'],
    ['COFFER_NO_INPUT', 'fail instead of asking'],
    ['COFFER_LOG', 'log calls to standard error: debug, info, warn, error'],
    ['NO_COLOR, FORCE_COLOR', 'never, or always, use colours'],
    ['XDG_CONFIG_HOME', 'the directory of coffer/config.yaml'],
    ['XDG_STATE_HOME', 'the directory of coffer/tokens and coffer/audit (verified checkpoints)'],
  ].map(([name = '', meaning = '']) => [`  ${name}`, meaning]);
  const order = 'flag, environment, .coffer.yaml, context, default';
  return `Environment variables. Each setting comes from the first of ${order}.\n${formatRows(rows)}`;
}
