/**
 * Bus limits: how much of the bus one instrument may use, and how much the broker keeps.
 *
 * Each figure is for one instrument (all of its connections together) unless it says otherwise.
 */
import { MAX_EVENT_BYTES } from "@bulkhead/schema";

export interface GateLimits {
  /** Connections at one time, and how often new ones may come. */
  readonly connections: number;
  readonly connectsPerSecond: number;
  readonly connectBurst: number;
  /** From the connection to its CONNECT. */
  readonly handshakeMs: number;
  readonly lineBytes: number;
  readonly headerBytes: number;
  /** Largest payload without its headers. */
  readonly payloadBytes: number;
  /** Over these, the gate reads more slowly: nothing is lost, the sender waits. */
  readonly messagesPerSecond: number;
  readonly messageBurst: number;
  readonly bytesPerSecond: number;
  readonly byteBurst: number;
  /** Time of sensord's one thread that its traffic may take, in milliseconds; over it, the sender waits too. */
  readonly busyMsPerSecond: number;
  readonly busyBurstMs: number;
  /** Reports to the platform (`svc.…`): over these, a report is refused. */
  readonly reportsPerSecond: number;
  readonly reportBurst: number;
  readonly reportBytes: number;
  /** Over these, the connection that sends what is refused is closed. */
  readonly refusalsPerSecond: number;
  readonly refusalBurst: number;
  /** How long a client may leave what it was sent unread while more waits. */
  readonly stallMs: number;
}

export interface BrokerLimits {
  /** Of the whole broker. */
  readonly connections: number;
  readonly storeBytes: number;
  /** Of one connection. */
  readonly subscriptions: number;
  /** What may wait for it to be read. A pull is delivered in one go, so a consumer must not ask for more than this. */
  readonly pendingBytes: number;
  readonly writeDeadlineMs: number;
  /** How often what is stored is forced to the disk: what a power failure can cost. */
  readonly syncMs: number;
}

export interface StreamLimits {
  /** Size of one instrument's stream of events; when full, the oldest go. */
  readonly eventBytes: number;
  readonly logBytes: number;
  /** Within it, a repeated message id is stored once. */
  readonly duplicateWindowMs: number;
  /** A consumer that did not acknowledge within it is sent the event again. */
  readonly ackWaitMs: number;
  readonly ackPending: number;
  readonly pullBatch: number;
  readonly pullWaiting: number;
}

export interface BusLimits {
  readonly gate: GateLimits;
  readonly broker: BrokerLimits;
  readonly streams: StreamLimits;
}

const KIB = 1024;
const MIB = 1024 * KIB;

export const DEFAULT_BUS_LIMITS: BusLimits = {
  gate: {
    connections: 4,
    connectsPerSecond: 5,
    connectBurst: 30,
    handshakeMs: 5000,
    lineBytes: 4 * KIB,
    headerBytes: 8 * KIB,
    payloadBytes: MAX_EVENT_BYTES,
    messagesPerSecond: 50_000,
    messageBurst: 200_000,
    bytesPerSecond: 32 * MIB,
    byteBurst: 16 * MIB,
    busyMsPerSecond: 200,
    busyBurstMs: 400,
    reportsPerSecond: 100,
    reportBurst: 1000,
    reportBytes: 64 * KIB,
    refusalsPerSecond: 100,
    refusalBurst: 2000,
    stallMs: 30_000,
  },
  broker: {
    connections: 2048,
    storeBytes: 32 * 1024 * MIB,
    subscriptions: 256,
    pendingBytes: 32 * MIB,
    writeDeadlineMs: 5000,
    syncMs: 5000,
  },
  streams: {
    eventBytes: 256 * MIB,
    logBytes: 4 * MIB,
    duplicateWindowMs: 60_000,
    ackWaitMs: 30_000,
    ackPending: 20_000,
    pullBatch: 5000,
    pullWaiting: 32,
  },
};
