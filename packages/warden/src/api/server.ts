/**
 * Warden's two doors: HTTP on Unix sockets. Which socket a request came on is who asks: sensord's
 * socket is readable by the installation's group, root's by root alone. A verb that a socket does
 * not offer does not exist there.
 */
import { chmod, chown, rm } from "node:fs/promises";
import {
  AttackOrder,
  AuditEntry,
  AuditReading,
  CANARY_NAME,
  CanaryOrder,
  FilterQuestion,
  type InstallationLayout,
  InstrumentOrder,
  VaultGrow,
  VaultRekey,
  VaultUnlock,
  VolumeQuestion,
  WARDEN_VERBS,
  type WardenVerb,
} from "@bulkhead/schema";
import Fastify, { type FastifyInstance, type FastifyReply } from "fastify";
import { ZodError, type z } from "zod";
import type { AuditLog } from "../audit/audit-log.ts";
import type { SensorClock } from "../clock/sensor-clock.ts";
import { WardenError } from "../error.ts";
import type { Holder } from "../hold/holder.ts";
import { rejectedFilters } from "../hold/apply-site.ts";
import type { Host } from "../hold/ports.ts";
import { holdCanary } from "./canary-connection.ts";
import { orderedWith } from "./ordered.ts";
import type { VaultKeeper } from "../vault/vault-keeper.ts";
import type { Proving } from "../verify/proving.ts";
import type { VolumeUses } from "../volumes/volume-uses.ts";

export interface WardenApiParts {
  readonly holder: Holder;
  readonly host: Host;
  readonly audit: AuditLog;
  readonly vault: VaultKeeper;
  readonly proving: Proving;
  readonly volumes: VolumeUses;
  readonly clock: SensorClock;
}
type SocketName = "sensord" | "root";
type Handler = (body: unknown, by: SocketName, reply: FastifyReply) => Promise<unknown>;
type Handlers = Readonly<Record<WardenVerb, Handler>>;

/** Listens on both sockets. The returned function closes them. */
export async function serveWarden(
  parts: WardenApiParts,
  layout: InstallationLayout,
  gid: number,
): Promise<() => Promise<void>> {
  const handlers = handlersOf(parts);
  const doors: readonly Door[] = [
    { name: "sensord", path: layout.wardenSocket, mode: 0o660, gid },
    { name: "root", path: layout.rootSocket, mode: 0o600, gid: 0 },
  ];
  const servers: FastifyInstance[] = [];
  for (const door of doors) servers.push(await listen(door, handlers));
  return async () => {
    await Promise.all(servers.map((server) => server.close()));
  };
}

interface Door {
  readonly name: SocketName;
  readonly path: string;
  readonly mode: number;
  readonly gid: number;
}

async function listen({ name, path, mode, gid }: Door, handlers: Handlers): Promise<FastifyInstance> {
  const server = serverFor(name, handlers);
  await rm(path, { force: true });
  // Nobody may connect between listening and the change of mode.
  const former = process.umask(0o177);
  try {
    await server.listen({ path });
  } finally {
    process.umask(former);
  }
  await chown(path, 0, gid);
  await chmod(path, mode);
  return server;
}

function serverFor(name: SocketName, handlers: Handlers): FastifyInstance {
  const server = Fastify({ bodyLimit: 64 * 1024, forceCloseConnections: true });
  for (const [verb, route] of Object.entries(WARDEN_VERBS) as [
    WardenVerb,
    (typeof WARDEN_VERBS)[WardenVerb],
  ][]) {
    const sockets: readonly SocketName[] = route.sockets;
    if (!sockets.includes(name)) continue;
    server.route({
      method: route.method,
      url: route.path,
      handler: (request, reply) => handlers[verb](request.body, name, reply),
    });
  }
  server.setErrorHandler(async (error, _request, reply) => {
    const { status, code } = problemOf(error);
    const message = error instanceof Error ? error.message : String(error);
    await reply.code(status).send({ code, message });
  });
  return server;
}

function handlersOf({ volumes, holder, host, audit, vault, proving, clock }: WardenApiParts): Handlers {
  const instrumentOf = (body: unknown) => parseBody(InstrumentOrder, body).instrument;
  const done = { ok: true };
  const ordered = orderedWith(audit);
  return {
    state: async () => holder.state,
    watch: async (_body, _by, reply) => watch(holder, reply),
    counters: async () => ({ taps: await holder.counters() }),
    network: async () => ({ ports: await holder.networkReport() }),
    apply: async (_body, by) => ordered(by, "apply", "site", () => holder.apply()),
    start: async (body, by) => {
      const instrument = instrumentOf(body);
      await ordered(by, "start", instrument, () => holder.setStopped(instrument, false));
      return done;
    },
    stop: async (body, by) => {
      const instrument = instrumentOf(body);
      await ordered(by, "stop", instrument, () => holder.setStopped(instrument, true));
      return done;
    },
    restart: async (body, by) => {
      const instrument = instrumentOf(body);
      await ordered(by, "restart", instrument, () => holder.restart(instrument));
      return done;
    },
    filters: async (body) => {
      const { expressions } = parseBody(FilterQuestion, body);
      return { rejected: await rejectedFilters(expressions, host) };
    },
    volumeUse: async (body) => {
      const { instrument, births } = parseBody(VolumeQuestion, body);
      return { volumes: await volumes.of(instrument, births) };
    },
    audit: async (body, by) => {
      if (by === "sensord") await audit.appendForSensord(body);
      else {
        const { kind, subject, detail } = parseBody(AuditEntry, body);
        await audit.writer(by).append(kind, subject, detail);
      }
      return done;
    },
    auditRead: async (body) => audit.read(parseBody(AuditReading, body)),
    canaryCreate: async (body, by, reply) => {
      const order = parseBody(CanaryOrder, body);
      const { instrument } = order;
      const detail = { without: order.without.join("+") };
      const make = () =>
        ordered(by, "canary.create", instrument, () => proving.canaries.create(order), detail);
      return holdCanary(reply, make, (failure) => canaryLost(audit, instrument, failure));
    },
    canaryAttack: async (body, by) => {
      const order = parseBody(AttackOrder, body);
      await ordered(by, "canary.attack", CANARY_NAME, () => proving.canaries.attack(order), { ...order });
      return done;
    },
    canaryRemove: async (_body, by) => {
      await ordered(by, "canary.remove", CANARY_NAME, () => proving.canaries.remove());
      return done;
    },
    readBack: async () => ({ instruments: await proving.readBack() }),
    down: async (_body, by) => {
      await ordered(by, "down", "sensor", async () => {
        await proving.canaries.remove();
        await holder.down();
      });
      return done;
    },
    purge: async (_body, by) => {
      await ordered(by, "purge", "sensor", async () => {
        await proving.canaries.remove();
        await holder.purge();
        // It lies on the platform's volume.
        await audit.detach("the sensor is purged");
        await vault.destroyAll();
      });
      return done;
    },
    clockConfirm: async (_body, by) => {
      await ordered(by, "clock.confirm", "slices", () => clock.confirm());
      holder.wake();
      return done;
    },
    vault: async () => vault.status(),
    vaultUnlock: async (body) => vault.unlock(parseBody(VaultUnlock, body)),
    vaultRekey: async (body, by) => {
      const request = parseBody(VaultRekey, body);
      const recoveryPhrase = await ordered(by, "vault.rekey", "vault", () => vault.rekey(request));
      return { method: vault.state.method, recoveryPhrase };
    },
    vaultGrow: async (body) => vault.grow(parseBody(VaultGrow, body)),
    vaultDestroy: async (body) => {
      await holder.destroy(instrumentOf(body));
      return done;
    },
  };
}

/** Nobody is there to be told but the log. */
async function canaryLost(audit: AuditLog, instrument: string, failure: Error | null): Promise<void> {
  const outcome = failure === null ? "removed" : `not removed: ${failure.message}`;
  await audit.writer("warden").append("canary.lost", instrument, { outcome });
}

/** NDJSON: the state as soon as the host was looked at, and at each change. A reader that does not keep up gets the newest only. */
function watch(holder: Holder, reply: FastifyReply): FastifyReply {
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(200, { "content-type": "application/x-ndjson" });
  // Revision 0 is what nobody has looked at yet.
  let sent = 0;
  const send = (): void => {
    const state = holder.state;
    if (state.revision === sent || raw.writableNeedDrain) return;
    sent = state.revision;
    raw.write(`${JSON.stringify(state)}\n`);
  };
  const stop = holder.feed.listen(send);
  raw.on("drain", send);
  raw.on("close", stop);
  send();
  return reply;
}

function parseBody<T>(type: z.ZodType<T>, body: unknown): T {
  return type.parse(body);
}

function problemOf(error: unknown): { readonly status: number; readonly code: string } {
  if (error instanceof ZodError) return { status: 400, code: "bad-request" };
  if (!(error instanceof WardenError)) {
    const status =
      typeof error === "object" && error !== null && "statusCode" in error ? Number(error.statusCode) : 500;
    return { status, code: status < 500 ? "bad-request" : "unexpected-error" };
  }
  const status =
    {
      "unknown-instrument": 404,
      ...AUDIT_STATUS,
      "site-not-staged": 409,
      "sensor-down": 409,
      ...VAULT_STATUS,
    }[error.code as string] ?? 500;
  return { status, code: error.code };
}

const VAULT_STATUS = {
  "vault-absent": 409,
  "vault-passphrase-missing": 409,
  "vault-passphrase-wrong": 403,
  "vault-phrase-wrong": 403,
  "volume-locked": 409,
  "volume-missing": 404,
  "volume-too-small": 409,
};

const AUDIT_STATUS = { "audit-entry-too-large": 400, "audit-rate": 429, "audit-unwritable": 503 };
