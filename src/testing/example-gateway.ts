/** A gateway on loopback that answers every operation with its example from the contract. */
import { operationExamples } from '../protocol/examples.ts';
import { isEventOperation } from '../protocol/event-cursor.ts';
import type { OperationName } from '../protocol/operations.ts';
import type { OperationRequest } from '../protocol/request.ts';
import { type HttpGateway, startHttpGateway } from './http-gateway.ts';

/** The revision of whatever is asked for. */
export const exampleRevision = 42;

export async function startExampleGateway(
  onRequest: (request: OperationRequest<OperationName>) => void = () => undefined,
): Promise<HttpGateway> {
  return await startHttpGateway(async (request) => {
    onRequest(request);
    return { output: outputOf(request.operation), revision: exampleRevision };
  });
}

function outputOf(name: OperationName): unknown {
  if (isEventOperation(name)) return piecesOf([operationExamples[name].output]);
  if (name === 'system.backup') return piecesOf([Buffer.from('backup')]);
  // One page: the example's cursor would lead round in a circle.
  const { nextCursor: _, ...output } = operationExamples[name].output as {
    readonly nextCursor?: string;
  };
  return output;
}

async function* piecesOf<T>(pieces: readonly T[]): AsyncGenerator<T, void, undefined> {
  yield* pieces;
}
