/** Attempts to take more of the bus than an instrument's share, at the cost of everybody on it. */
import type { Attempt } from "../attempt.ts";

const CONNECT = 'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"protocol":1}';
const OWN = "svc.canary.health";
/** Over the burst of reports that the gate takes (DEFAULT_BUS_LIMITS), and what it lets in while they come. */
const FLOOD = 6_000;
const BURST = 2_500;
/** Over what a report may hold, and below what the broker takes of anybody. */
const BOMB_BYTES = 200 * 1024;
const CONNECTIONS = 12;
const ALLOWED = 4;

const common = {
  group: "resources",
  actor: "user",
  expected: ["refused"],
  layers: ["bus-gate"],
  control: { kind: "canary" },
} as const satisfies Partial<Attempt>;

export const BUS_FLOODS: readonly Attempt[] = [
  {
    ...common,
    id: "bus-flood",
    means: "Flood the platform with reports, so that it hears nobody else.",
    witness: { kind: "bus", subject: OWN, above: BURST },
    run: async (machine) => {
      const lines = Array.from({ length: FLOOD }, () => `PUB ${OWN} 2\r\n{}`);
      const said = await machine.bus([CONNECT, ...lines, "PING"], 10_000, /^(?:-ERR|PONG)/m);
      return { answer: refused(said) ? "refused" : "done", detail: said.slice(-80).replaceAll(/\s+/g, " ") };
    },
  },
  {
    ...common,
    id: "bus-message-bomb",
    means: "Send one report that is far too large.",
    witness: { kind: "bus", subject: OWN },
    run: async (machine) => {
      const line = `PUB ${OWN} ${BOMB_BYTES}\r\n${"x".repeat(BOMB_BYTES)}`;
      const said = await machine.bus([CONNECT, line, "PING"], 5_000, /^(?:-ERR|PONG)/m);
      return { answer: refused(said) ? "refused" : "done", detail: said.slice(-80).replaceAll(/\s+/g, " ") };
    },
  },
  {
    ...common,
    id: "bus-connections",
    means: "Take all of the broker's connections.",
    witness: { kind: "bus", subject: "connections", above: ALLOWED },
    run: async (machine) => {
      const talks = Array.from({ length: CONNECTIONS }, () =>
        // Held for its whole time: nothing is ever said that would end it.
        machine.bus([CONNECT, "PING"], 1_500, /^never$/m),
      );
      const welcome = (await Promise.all(talks)).filter((said) => said.includes("PONG")).length;
      return { answer: welcome > ALLOWED ? "done" : "refused", detail: `${welcome} connections` };
    },
  },
];

function refused(said: string): boolean {
  return said.includes("-ERR") || said.includes("socket:");
}
