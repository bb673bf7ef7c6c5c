/**
 * One container's state in the runtime: started, asked to end, made to end, and why a start failed.
 *
 * Invariants: each call is judged by the state afterwards, not by the answer alone, because a container can end by
 * itself at any moment. It knows nothing of profiles and volumes.
 */
import { setTimeout as delay } from "node:timers/promises";
import { Name, type ObservedInstrument } from "@bulkhead/schema";
import { isWardenError, WardenError } from "../error.ts";
import type { RuntimeClient } from "./runtime-client.ts";
import { Instance, InstanceState } from "./runtime-schemas.ts";

/** Between SIGTERM and SIGKILL: an instrument flushes what it holds in this time. */
const STOP_GRACE_S = 10;
const FORCE_S = 30;
const START_TIMEOUT_MS = 60_000;
/** After a container ended by itself, the runtime is busy with it for some hundred milliseconds. */
const IDLE_TIMEOUT_MS = 30_000;
const IDLE_POLL_MS = 100;
/** Of lxc's log of a failed start. */
const LOG_LINES = 6;

const STATES: Readonly<Record<string, ObservedInstrument["state"]>> = {
  Running: "running",
  Ready: "running",
  Stopped: "stopped",
  Frozen: "frozen",
};

export function instancePath(instrument: string): string {
  return `/1.0/instances/${Name.parse(instrument)}`;
}

/** Everything between the states that are wanted (starting, aborting, error) is `error`. */
export function stateOf(instance: Pick<Instance, "status">): ObservedInstrument["state"] {
  return STATES[instance.status] ?? "error";
}

/** Host pid of the first process of a container that runs; null where there is none any more. */
export async function pidOf(
  client: RuntimeClient,
  instrument: string,
  signal: AbortSignal | undefined,
): Promise<number | null> {
  const path = instancePath(instrument);
  try {
    const found = await client.find(`${path}/state`, InstanceState, { signal });
    return found !== null && found.pid > 0 ? found.pid : null;
  } catch (error) {
    // A runtime that is asked in the moment of an end fails to find the process ("Invalid PID").
    const after = await client.find(path, Instance, { signal });
    if (after !== null && stateOf(after) === "running" && !/Invalid PID/.test(String(error))) throw error;
    return null;
  }
}

/** @throws WardenError `instrument-start-failed` {log} */
export async function startInstance(
  client: RuntimeClient,
  instance: Instance,
  signal: AbortSignal | undefined,
): Promise<void> {
  const action = stateOf(instance) === "frozen" ? "unfreeze" : "start";
  try {
    await whenIdle(() =>
      client.put(
        `${instancePath(instance.name)}/state`,
        { action, timeout: FORCE_S },
        { signal, timeoutMs: START_TIMEOUT_MS },
      ),
    );
  } catch (cause) {
    if (!isWardenError(cause, "runtime-operation-failed")) throw cause;
    throw await startFailure(client, instance.name, cause);
  }
}

export async function startFailure(
  client: RuntimeClient,
  instrument: string,
  cause: unknown,
): Promise<WardenError> {
  const text = (await client.text(`${instancePath(instrument)}/logs/lxc.log`)) ?? "";
  const errors = text.split("\n").filter((line) => / ERROR /.test(line));
  const log = errors.slice(0, LOG_LINES).join("\n");
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new WardenError("instrument-start-failed", `${instrument} did not start: ${reason}`, {
    cause,
    fields: { instrument, log },
  });
}

/** SIGTERM to PID 1; SIGKILL for all where that was not enough, or the container cannot listen. */
export async function stopInstance(
  client: RuntimeClient,
  instrument: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const found = await client.find(instancePath(instrument), Instance, { signal });
  if (found !== null && stateOf(found) === "running") {
    const body = { action: "stop", force: false, timeout: STOP_GRACE_S };
    try {
      await client.put(`${instancePath(instrument)}/state`, body, { signal });
    } catch (error) {
      if (!isWardenError(error, "runtime-operation-failed") && !isWardenError(error, "runtime-refused"))
        throw error;
    }
  }
  await killInstance(client, instrument);
}

/** One that is absent or stopped is left alone. */
export async function killInstance(client: RuntimeClient, instrument: string): Promise<void> {
  const path = instancePath(instrument);
  const found = await client.find(path, Instance);
  if (found === null || stateOf(found) === "stopped") return;
  try {
    await whenIdle(() => client.put(`${path}/state`, { action: "stop", force: true, timeout: FORCE_S }));
  } catch (error) {
    const after = await client.find(path, Instance);
    if (after !== null && stateOf(after) !== "stopped") throw error;
  }
}

export async function removeInstance(client: RuntimeClient, instrument: string): Promise<void> {
  try {
    await whenIdle(() => client.delete(instancePath(instrument)));
  } catch (error) {
    if (!isWardenError(error, "runtime-not-found")) throw error;
  }
}

/** Repeats a call as long as the runtime refuses it because it still works on the same instance itself. */
async function whenIdle(call: () => Promise<void>): Promise<void> {
  const endMs = performance.now() + IDLE_TIMEOUT_MS;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      // lxd/instance/operationlock: there is no code for it.
      const busy = error instanceof WardenError && /Instance is busy running/.test(error.message);
      if (!busy || performance.now() > endMs) throw error;
      await delay(IDLE_POLL_MS);
    }
  }
}
