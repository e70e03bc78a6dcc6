/** What the benches' main program and the gateway that it measures say to each other. */

export interface FleetJoined {
  readonly kind: 'joined';
  readonly pin: string;
  readonly ownerToken: string;
}

export interface FleetGatewayReady {
  readonly kind: 'ready';
  readonly apiPort: number;
  readonly nodePort: number;
}

/** Counts from the gateway's start: every receipt that has reached delivery. */
export interface FleetGatewayReached {
  readonly kind: 'reached';
  readonly receipts: number;
  /** On CLOCK_MONOTONIC, which all processes share. */
  readonly atMs: number;
}

export type FromFleetGateway = FleetJoined | FleetGatewayReady | FleetGatewayReached;

export interface ToFleetGateway {
  readonly kind: 'until';
  readonly receipts: number;
}

/** `until`: say when so many sets have arrived since the start. `release`: say all receipts that are held. */
export type ToFleet =
  | { readonly kind: 'until'; readonly sets: number }
  | { readonly kind: 'release' };

export type FromFleet = { readonly kind: 'connected' } | { readonly kind: 'arrived' };
