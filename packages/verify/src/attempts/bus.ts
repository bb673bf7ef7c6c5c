/** Attempts on the bus: to speak for others, to hear what is not for it, and to give orders. */
import type { Attempt } from "../attempt.ts";
import type { Machine } from "../adversary/machine.ts";

const BOTH: Attempt["layers"] = ["bus-gate", "bus-permissions"];
const CANARY = { kind: "canary" } as const;
const CONNECT = 'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"protocol":1}';
const OWN_INBOX = "_INBOX.canary";
/** Longest wait for an answer: the victim has spoken many times by then, on a busy host too. */
const WAIT_MS = 2_000;
/** All that was sent has been judged. */
const JUDGED = /^(?:-ERR|PONG)/m;
const HEARD = /victim-says-|^-ERR/m;
const ANSWERED = /^(?:-ERR|H?MSG )/m;
const REFUSED = ["refused"] as const;

/** Publishes one message; refused where the bus says so. */
function publish(
  subject: string,
  options: { readonly reply?: string; readonly payload?: string; readonly headers?: string } = {},
): Attempt["run"] {
  const { reply = "", payload = "forged", headers } = options;
  const words = reply === "" ? subject : `${subject} ${reply}`;
  const block = headers === undefined ? "" : `NATS/1.0\r\n${headers}\r\n\r\n`;
  const line =
    headers === undefined
      ? `PUB ${words} ${payload.length}\r\n${payload}`
      : `HPUB ${words} ${block.length} ${block.length + payload.length}\r\n${block}${payload}`;
  return async (machine) => judged(await machine.bus([CONNECT, line, "PING"], WAIT_MS, JUDGED));
}

/** Subscribes; succeeded where what the victim says arrives. */
function listen(subject: string): Attempt["run"] {
  return async (machine) => {
    const said = await machine.bus([CONNECT, `SUB ${subject} 1`, "PING"], WAIT_MS, HEARD);
    if (said.includes("victim-says-")) return { answer: "done", detail: "heard the victim" };
    return said.includes("-ERR") ? { answer: "refused" } : { answer: "silence", detail: said.slice(-80) };
  };
}

/** Asks JetStream's interface; succeeded where it answers with a result. */
function ask(subject: string, body = ""): Attempt["run"] {
  return async (machine) => {
    const lines = [
      CONNECT,
      `SUB ${OWN_INBOX}.> 1`,
      `PUB ${subject} ${OWN_INBOX}.1 ${body.length}\r\n${body}`,
      "PING",
    ];
    const said = await machine.bus(lines, WAIT_MS, ANSWERED);
    if (/^H?MSG /m.test(said) && !/503|"code":/.test(said)) return { answer: "done", detail: "it answered" };
    return judged(said);
  };
}

function judged(said: string): { readonly answer: string; readonly detail: string } {
  const refused = said.includes("-ERR") || said.includes("socket:");
  return { answer: refused ? "refused" : "done", detail: said.slice(-100).replaceAll(/\s+/g, " ") };
}

function attempt(
  id: string,
  means: string,
  more: Pick<Attempt, "witness" | "run"> & Partial<Attempt>,
): Attempt {
  return {
    id: `bus-${id}`,
    group: "bus",
    means,
    actor: "user",
    expected: REFUSED,
    layers: BOTH,
    control: CANARY,
    ...more,
  };
}

const seen = (subject: string) => ({ kind: "bus", subject }) as const;
/** The stand-in broker handed out something that only the victim's side says, or an answer of its store's. */
const heard = seen("heard");
const answered = seen("answered");

export const BUS: readonly Attempt[] = [
  attempt("forge-event", "Publish an event in another instrument's name.", {
    witness: seen("ev.victim.note"),
    run: publish("ev.victim.note"),
  }),
  attempt("forge-command", "Give another instrument a command of the platform's.", {
    witness: seen("cmd.victim.stop"),
    run: publish("cmd.victim.stop"),
  }),
  attempt("message-without-grant", "Send a message for which there is no grant.", {
    witness: seen("msg.victim.canary.order"),
    run: publish("msg.victim.canary.order"),
  }),
  attempt("forge-sender", "Send a message in another instrument's name.", {
    witness: seen("msg.victim.other.order"),
    run: publish("msg.victim.other.order"),
  }),
  attempt("forge-report", "Report to the platform in another instrument's name.", {
    witness: seen("svc.victim.health"),
    run: publish("svc.victim.health"),
  }),
  attempt("undeclared-event", "Publish an event of a type that it never declared.", {
    witness: seen("ev.canary.undeclared"),
    run: publish("ev.canary.undeclared"),
  }),
  attempt("platform-event", "Publish an event in the platform's name.", {
    witness: seen("ev.platform.ledger"),
    run: publish("ev.platform.ledger"),
  }),
  attempt("system-subject", "Speak to the broker's own system account.", {
    witness: seen("$SYS.REQ.SERVER.PING"),
    run: publish("$SYS.REQ.SERVER.PING"),
  }),
  attempt(
    "forge-message-id",
    "Publish with another's message id, so that the true event is dropped as a repetition.",
    {
      witness: seen("ev.victim.note"),
      run: publish("ev.victim.note", { headers: "Nats-Msg-Id: victim-1" }),
    },
  ),
  attempt(
    "reply-as-command",
    "Have an answer delivered to another instrument as a command, by naming it as reply subject.",
    {
      layers: ["bus-gate"],
      witness: seen("svc.canary.hello"),
      run: publish("svc.canary.hello", { reply: "cmd.victim.stop", payload: "{}" }),
    },
  ),
  attempt("hear-events", "Listen to events that were not granted.", {
    witness: heard,
    run: listen("ev.victim.note"),
  }),
  attempt("hear-all-events", "Listen to everybody's events by a wildcard.", {
    witness: heard,
    run: listen("ev.>"),
  }),
  attempt("hear-everything", "Listen to everything by a wildcard.", { witness: heard, run: listen(">") }),
  attempt("hear-any-token", "Listen by wildcards of one token each.", {
    witness: heard,
    run: listen("*.*.*"),
  }),
  attempt("hear-messages", "Listen to another instrument's messages.", {
    witness: heard,
    run: listen("msg.victim.>"),
  }),
  attempt("hear-commands", "Listen to another instrument's commands.", {
    witness: heard,
    run: listen("cmd.victim.>"),
  }),
  attempt("hear-inbox", "Listen to answers that others get, by guessing their inbox.", {
    witness: heard,
    run: listen("_INBOX.>"),
  }),
  attempt("hear-as-group", "Take another's messages away by joining its queue.", {
    witness: heard,
    run: listen("ev.victim.note workers"),
  }),
  attempt("second-connect", "Become another user by a second CONNECT on the same connection.", {
    layers: ["bus-gate"],
    control: { kind: "none", why: "it would need the other user's password, which no canary can have" },
    witness: {
      kind: "bus",
      subject: "second CONNECT",
      unshown: "there is no control: it would need the other user's password",
    },
    run: async (machine: Machine) =>
      judged(
        await machine.bus(
          [CONNECT, CONNECT.replace("{", '{"user":"platform","pass":"guess",'), "PING"],
          WAIT_MS,
          JUDGED,
        ),
      ),
  }),
  attempt("speak-before-connect", "Publish before the connection is anybody's.", {
    layers: ["bus-gate"],
    control: { kind: "none", why: "the broker refuses it as well, whatever its permissions" },
    witness: seen("ev.victim.note"),
    run: async (machine: Machine) =>
      judged(await machine.bus(["PUB ev.victim.note 1\r\nx", "PING"], WAIT_MS, JUDGED)),
  }),
  attempt("oversized-line", "Break the gate's parser by a line without end.", {
    layers: ["bus-gate"],
    control: { kind: "none", why: "the broker has a limit on lines of its own" },
    witness: {
      kind: "bus",
      subject: "long line",
      unshown: "there is no control: the broker ends such a connection too",
    },
    run: async (machine: Machine) =>
      judged(await machine.bus([CONNECT, `PUB ${"a".repeat(64 * 1024)} 1`, "PING"], WAIT_MS, JUDGED)),
  }),
  attempt("smuggle-line", "Hide a second command in a subject.", {
    witness: seen("cmd.victim.stop"),
    run: publish("ev.canary.x 1\r\nx\r\nPUB cmd.victim.stop"),
  }),
  attempt("list-streams", "List what the broker stores.", {
    witness: answered,
    run: ask("$JS.API.STREAM.NAMES"),
  }),
  attempt("delete-stream", "Delete another instrument's stored events.", {
    witness: seen("$JS.EVENT.ADVISORY.STREAM.DELETED.EV_victim"),
    run: ask("$JS.API.STREAM.DELETE.EV_victim"),
  }),
  attempt("make-stream", "Store what others say in a stream of its own.", {
    witness: seen("$JS.EVENT.ADVISORY.STREAM.CREATED.EV_mine"),
    run: ask("$JS.API.STREAM.CREATE.EV_mine", '{"name":"EV_mine","subjects":["cmd.>"],"storage":"memory"}'),
  }),
  attempt("read-stream", "Read another instrument's stored events.", {
    witness: answered,
    run: ask("$JS.API.STREAM.MSG.GET.EV_victim", '{"last_by_subj":"ev.victim.note"}'),
  }),
  attempt("purge-stream", "Empty another instrument's stored events.", {
    witness: answered,
    run: ask("$JS.API.STREAM.PURGE.EV_victim"),
  }),
];
