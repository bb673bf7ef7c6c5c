/**
 * Broker config: the nats-server configuration of one installation, as text.
 *
 * Invariants: loopback only, no monitoring port, no other listener, one account, a user for each
 * instrument with its permissions and no more. JSON, which nats-server's format includes, so that
 * nothing can break out of a string. Pure. Source: nats-server configuration reference.
 */
import { createHash } from "node:crypto";
import type { BusUser } from "@bulkhead/core";
import { type InstallationLayout, PLATFORM_NAME } from "@bulkhead/schema";
import type { BusLimits } from "./limits.ts";

/** Where the broker's files lie. The broker is started with `nats-server -c <configFile>` once that exists. */
export interface BrokerPaths {
  readonly dir: string;
  readonly configFile: string;
  readonly pidFile: string;
  readonly storeDir: string;
  /** Passwords and the size of the store, mode 0600. */
  readonly stateFile: string;
}

export function brokerPaths(layout: Pick<InstallationLayout, "brokerDir">): BrokerPaths {
  const dir = layout.brokerDir;
  return {
    dir,
    configFile: `${dir}/nats.conf`,
    pidFile: `${dir}/nats-server.pid`,
    storeDir: `${dir}/store`,
    stateFile: `${dir}/broker.json`,
  };
}

export interface BrokerConfig {
  readonly text: string;
  /** A subject that the platform's user may publish to under this very configuration: see `rulesMarker`. */
  readonly marker: string;
}

export function renderBrokerConfig(input: {
  readonly slug: string;
  readonly port: number;
  readonly paths: BrokerPaths;
  readonly users: readonly BusUser[];
  readonly passwords: Readonly<Record<string, string>>;
  readonly storeBytes: number;
  readonly limits: BusLimits;
}): BrokerConfig {
  const { paths, limits } = input;
  const { gate, broker } = limits;
  const config = (marker: string | null): string =>
    JSON.stringify(
      {
        server_name: input.slug,
        listen: `127.0.0.1:${input.port}`,
        pid_file: paths.pidFile,
        max_payload: gate.payloadBytes + gate.headerBytes,
        // The gate's own CONNECT is longer than the client's.
        max_control_line: 2 * gate.lineBytes,
        max_connections: broker.connections,
        max_subscriptions: broker.subscriptions,
        max_pending: broker.pendingBytes,
        write_deadline: `${broker.writeDeadlineMs}ms`,
        ping_interval: "20s",
        ping_max: 3,
        jetstream: {
          store_dir: paths.storeDir,
          max_memory_store: 64 * 1024 * 1024,
          max_file_store: input.storeBytes,
          sync_interval: `${broker.syncMs}ms`,
        },
        authorization: {
          // The gate's own deadline is the one that counts.
          timeout: 2 * Math.ceil(gate.handshakeMs / 1000),
          users: input.users.map((user) => renderUser(user, input.passwords, marker)),
        },
      },
      null,
      2,
    );
  const marker = rulesMarker(config(null));
  return { text: `${config(marker)}\n`, marker };
}

/** A subject that names these rules: a broker that lets the platform use it follows them. */
function rulesMarker(text: string): string {
  return `rules.${createHash("sha256").update(text).digest("hex").slice(0, 24)}`;
}

function renderUser(
  user: BusUser,
  passwords: Readonly<Record<string, string>>,
  marker: string | null,
): unknown {
  const password = passwords[user.name];
  if (password === undefined) throw new TypeError(`no password for ${user.name}`);
  const marked = user.name === PLATFORM_NAME && marker !== null;
  return {
    user: user.name,
    password,
    permissions: {
      publish: { allow: marked ? [...user.publish, marker] : user.publish },
      subscribe: { allow: user.subscribe },
      allow_responses: user.responses,
    },
  };
}
