/**
 * Attempts on Deliver: to publish what is not the instrument's to publish, in a place that is not its own, or until
 * nobody else has room.
 */
import type { Attempt } from "../attempt.ts";
import { PROBE_BYTES, PROBE_TYPE } from "../probe-resource.ts";

const CONNECT = 'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"protocol":1}';
const INBOX = "_INBOX.canary";
const WAIT_MS = 2_000;
/** The broker or the desk has said something of each. */
const JUDGED = /^(?:-ERR|PONG)/m;
const ANSWERED = /^(?:-ERR|H?MSG )/m;
/** Parts of deliveries at one time, far above any window. */
const PARTS = 500;
const PART_BYTES = 16 * 1024;
const OPENS = 40;
/** Deliveries that one instrument may have under way (DEFAULT_RESOURCE_LIMITS). */
const OPEN_AT_ONCE = 2;

const common = {
  group: "bus",
  actor: "user",
  expected: ["refused"],
  control: { kind: "canary" },
} as const satisfies Partial<Attempt>;

const asked = (request: object, reply: string, subject = "svc.canary.deliver"): string => {
  const payload = JSON.stringify(request);
  return `PUB ${subject} ${INBOX}.${reply} ${payload.length}\r\n${payload}`;
};

/** Asks the desk to let a delivery begin; refused where it says no. */
function begin(request: object): Attempt["run"] {
  return async (machine) => {
    const lines = [CONNECT, `SUB ${INBOX}.> 1`, asked(request, "1"), "PING"];
    const said = await machine.bus(lines, WAIT_MS, ANSWERED);
    return { answer: said.includes('"ok":true') ? "done" : refusedOr(said), detail: tail(said) };
  };
}

const probe = (more: object): object => ({ type: PROBE_TYPE, name: "a", sizeBytes: 1, ...more });

export const DELIVERIES: readonly Attempt[] = [
  {
    ...common,
    id: "bus-forge-delivery",
    means: "Deliver a resource in another instrument's name.",
    layers: ["bus-gate", "bus-permissions"],
    witness: { kind: "bus", subject: "svc.victim.deliver" },
    run: async (machine) => {
      const line = asked(probe({}), "1", "svc.victim.deliver");
      const said = await machine.bus([CONNECT, line, "PING"], WAIT_MS, JUDGED);
      return { answer: said.includes("-ERR") ? "refused" : "done", detail: tail(said) };
    },
  },
  {
    ...common,
    id: "bus-undeclared-resource",
    means: "Deliver a resource of a type that it never declared.",
    layers: ["delivery-desk"],
    witness: { kind: "bus", subject: "delivery" },
    run: begin(probe({ type: "verify.undeclared" })),
  },
  {
    ...common,
    id: "bus-large-resource",
    means: "Deliver a resource that is larger than it declared.",
    layers: ["delivery-desk"],
    witness: { kind: "bus", subject: "delivery" },
    run: begin(probe({ sizeBytes: PROBE_BYTES + 1 })),
  },
  {
    ...common,
    id: "bus-resource-path",
    means: "Have a resource written elsewhere, by a name that is a path.",
    layers: ["delivery-desk"],
    witness: { kind: "bus", subject: "delivery" },
    run: begin(probe({ name: "../../sensord/resources" })),
  },
  {
    ...common,
    id: "bus-resource-spool",
    means: "Fill the platform's spool with deliveries that are never finished.",
    layers: ["delivery-desk"],
    witness: { kind: "bus", subject: "delivery", above: OPEN_AT_ONCE },
    run: async (machine) => {
      const opens = Array.from({ length: OPENS }, (_, at) =>
        asked(probe({ name: `n${at}`, sizeBytes: PROBE_BYTES }), String(at)),
      );
      const said = await machine.bus([CONNECT, `SUB ${INBOX}.> 1`, ...opens, "PING"], WAIT_MS, /^never$/m);
      const opened = said.split('"ok":true').length - 1;
      return { answer: opened > OPEN_AT_ONCE ? "done" : refusedOr(said), detail: `${opened} begun` };
    },
  },
  {
    ...common,
    id: "bus-delivery-flood",
    group: "resources",
    means: "Flood the platform with parts of a delivery that there is not.",
    layers: ["bus-gate"],
    witness: { kind: "bus", subject: "svc.canary.deliver.0123456789abcdef.0" },
    run: async (machine) => {
      const part = `PUB svc.canary.deliver.0123456789abcdef.0 ${INBOX}.1 ${PART_BYTES}\r\n${"x".repeat(PART_BYTES)}`;
      const parts = Array.from({ length: PARTS }, () => part);
      const said = await machine.bus([CONNECT, ...parts, "PING"], 10_000, JUDGED);
      return { answer: said.includes("-ERR") ? "refused" : "done", detail: tail(said) };
    },
  },
];

/** Silence is no refusal. */
function refusedOr(said: string): string {
  return said.includes('"ok":false') || said.includes("-ERR") ? "refused" : "silence";
}

function tail(said: string): string {
  return said.slice(-100).replaceAll(/\s+/g, " ");
}
