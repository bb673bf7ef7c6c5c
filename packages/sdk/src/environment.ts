/**
 * Environment of an instrument's process: where its sockets, volumes and inbox are.
 *
 * Invariants: inside a container everything has one fixed place; a variable overrides it so that
 * the same agent runs outside of one. The name is no secret and gives no right: who an instrument
 * is, the platform decides by the socket that it dialled.
 */
import { Name } from "@bulkhead/schema";
import { SdkError } from "./error.ts";

export interface Environment {
  readonly instrument: Name;
  readonly busSocket: string;
  readonly uiSocket: string;
  /** Volumes are mounted below, each under its need's id. */
  readonly dataDir: string;
  /** What the platform delivered, read-only, one directory for each version. */
  readonly inboxDir: string;
  /** What other instruments published for this one, read-only. */
  readonly resourcesDir: string;
}

/**
 * Reads BULKHEAD_INSTRUMENT (set by the container's configuration) and the overrides
 * BULKHEAD_BUS_SOCKET, BULKHEAD_UI_SOCKET, BULKHEAD_DATA_DIR, BULKHEAD_INBOX_DIR, BULKHEAD_RESOURCES_DIR.
 * @throws SdkError `sdk-no-name` where the name is absent or no name.
 */
export function parseEnvironment(env: Readonly<Record<string, string | undefined>>): Environment {
  const name = Name.safeParse(env["BULKHEAD_INSTRUMENT"]);
  if (!name.success) {
    const given = env["BULKHEAD_INSTRUMENT"] ?? "nothing";
    throw new SdkError("sdk-no-name", `BULKHEAD_INSTRUMENT must be this instrument's name, not ${given}`);
  }
  return {
    instrument: name.data,
    busSocket: env["BULKHEAD_BUS_SOCKET"] ?? "/run/bulkhead/bus.sock",
    uiSocket: env["BULKHEAD_UI_SOCKET"] ?? "/run/bulkhead/ui.sock",
    dataDir: env["BULKHEAD_DATA_DIR"] ?? "/data",
    inboxDir: env["BULKHEAD_INBOX_DIR"] ?? "/inbox",
    resourcesDir: env["BULKHEAD_RESOURCES_DIR"] ?? "/resources",
  };
}
