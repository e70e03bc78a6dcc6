/**
 * Removes containers that tests made, by the label that says which process made them.
 */
import type { EngineClient, EngineJson } from './engine-client.ts';

export const holderLabel = 'coffer.test.holder';

/** Kills and removes every test container whose holder `isOver`. */
export async function removeContainers(
  client: EngineClient,
  isOver: (holder: string) => boolean,
): Promise<void> {
  const filters = encodeURIComponent(JSON.stringify({ label: [holderLabel] }));
  const list = (await client.get(`/containers/json?all=1&filters=${filters}`)) as EngineJson[];
  const over = list.filter((item) => isOver(String(item['Labels']?.[holderLabel])));
  await Promise.all(
    // Whoever else removes it at this moment does what is wanted.
    over.map((item) => client.delete(`/containers/${item['Id']}?force=1&v=1`).catch(() => {})),
  );
}
