/**
 * Resource limits: how much one instrument may deliver, and how fast.
 *
 * Each figure is for one instrument unless it says otherwise.
 */
export interface ResourceLimits {
  /** Largest chunk, and how many may be under way without an answer, of one delivery: what sensord holds of it in memory. */
  readonly chunkBytes: number;
  readonly window: number;
  /** Deliveries at one time, and how often one may begin. */
  readonly deliveries: number;
  readonly opensPerSecond: number;
  readonly openBurst: number;
  /** A delivery ends when no byte came for so long, or when it took so long in all. */
  readonly stallMs: number;
  readonly longestMs: number;
  /** Resources that it may have published, and the bytes of their current versions together. */
  readonly names: number;
  readonly bytes: number;
  /** Of the platform's volume: what stays free for its broker and its audit log. */
  readonly reserveBytes: number;
}

const MIB = 2 ** 20;

export const DEFAULT_RESOURCE_LIMITS: ResourceLimits = {
  chunkBytes: 128 * 1024,
  window: 4,
  deliveries: 2,
  opensPerSecond: 0.5,
  openBurst: 60,
  stallMs: 30_000,
  longestMs: 30 * 60_000,
  names: 64,
  bytes: 256 * MIB,
  reserveBytes: 96 * MIB,
};
