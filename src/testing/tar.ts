/**
 * Writes tar archives (ustar): the same entries give the same bytes, so that images can be named for
 * their content.
 */

export type TarEntry = { readonly path: string; readonly mode?: number } & (
  | { readonly kind: 'directory' }
  | { readonly kind: 'file'; readonly content: Buffer }
  | { readonly kind: 'symlink' | 'hardlink'; readonly target: string }
);

const blockBytes = 512;
const typeFlags = { file: '0', hardlink: '1', symlink: '2', directory: '5' } as const;

/** Entries come in the order given. Paths are relative, up to 100 bytes; owner is root, time is 0. */
export function writeTar(entries: readonly TarEntry[]): Buffer {
  const blocks = entries.flatMap((entry) => {
    const content = entry.kind === 'file' ? entry.content : Buffer.alloc(0);
    const padding = Buffer.alloc((blockBytes - (content.length % blockBytes)) % blockBytes);
    return [headerOf(entry, content.length), content, padding];
  });
  return Buffer.concat([...blocks, Buffer.alloc(2 * blockBytes)]);
}

function headerOf(entry: TarEntry, length: number): Buffer {
  const header = Buffer.alloc(blockBytes);
  const path = entry.kind === 'directory' ? `${entry.path}/` : entry.path;
  if (Buffer.byteLength(path) > 100) throw new Error(`path too long for this writer: ${path}`);
  const octal = (value: number, at: number, width: number): void => {
    header.write(value.toString(8).padStart(width - 1, '0'), at, 'ascii');
  };
  header.write(path, 0);
  octal(entry.mode ?? (entry.kind === 'file' ? 0o644 : 0o755), 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(length, 124, 12);
  octal(0, 136, 12);
  header.write('        ', 148, 'ascii');
  header.write(typeFlags[entry.kind], 156, 'ascii');
  if (entry.kind === 'symlink' || entry.kind === 'hardlink') header.write(entry.target, 157);
  header.write('ustar\0', 257, 'ascii');
  header.write('00', 263, 'ascii');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'ascii');
  return header;
}
