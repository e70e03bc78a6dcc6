/** What an operator sees of one container: `coffer where`, by the container's name. */
import type { HoldingView } from '../../src/protocol/operations-node.ts';
import { type Story } from '../../src/testing/story.ts';
import { until } from '../../src/testing/until.ts';

export async function shownOf(story: Story, container: string): Promise<readonly HoldingView[]> {
  return (await story.holdings()).filter(({ workload }) => workload === container);
}

export async function isCurrent(story: Story, container: string, files = 1): Promise<void> {
  await until(`${container} has what it is due`, async () => {
    const shown = await shownOf(story, container);
    return shown.length === files && shown.every(({ state }) => state === 'current');
  });
}

/** Waits until the holding of this container has failed, and gives the fault that is shown. */
export async function faultOf(story: Story, container: string): Promise<string> {
  let fault: string | undefined;
  await until(`${container} shows why it has nothing`, async () => {
    const [first] = await shownOf(story, container);
    fault = first?.state === 'failed' ? first.fault : undefined;
    return fault !== undefined;
  });
  return fault ?? '';
}
