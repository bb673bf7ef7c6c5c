/**
 * UI limits: how much of sensord one instrument's UI may use. Measured: docs/decisions and the
 * notes on reverse HTTP/2; windows below these halve the throughput, and memory is bounded by
 * streams × window.
 */
export interface UiLimits {
  /** Requests under way at one time. */
  readonly streams: number;
  readonly streamWindowBytes: number;
  readonly sessionWindowBytes: number;
  readonly headerListBytes: number;
  readonly pingEveryMs: number;
  readonly pongWithinMs: number;
  /** From the request to the head of its response. */
  readonly headWithinMs: number;
  /** Streams that we reset: nghttp2 ends the session of one who resets too many. */
  readonly resetsPerSecond: number;
  readonly resetBurst: number;
  /** Connections that the instrument may open. */
  readonly dialsPerSecond: number;
  readonly dialBurst: number;
  /** Bytes a second that are no payload and are still put up with. */
  readonly idleBytesPerSecond: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;

export const DEFAULT_UI_LIMITS: UiLimits = {
  streams: 32,
  streamWindowBytes: MIB,
  sessionWindowBytes: 16 * MIB,
  headerListBytes: 32 * KIB,
  pingEveryMs: 3000,
  pongWithinMs: 4000,
  headWithinMs: 30_000,
  resetsPerSecond: 25,
  resetBurst: 500,
  dialsPerSecond: 1,
  dialBurst: 20,
  idleBytesPerSecond: 64 * KIB,
};
