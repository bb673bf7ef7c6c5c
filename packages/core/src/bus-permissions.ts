/**
 * Bus permissions: from the instruments' manifests and the site's grants, who may publish and
 * subscribe to what, and which streams and consumers the platform keeps for that.
 *
 * Invariants: default deny; nothing is granted that one side did not declare; an instrument never
 * gets a wildcard outside of its own names, and of JetStream's API only the next batch and the
 * acknowledgements of a consumer that the platform made for it.
 * It does not decide reply subjects: the bus gate holds each under its sender's own inbox.
 */
import {
  MAX_MESSAGE_DEADLINE_MS,
  type MessageRoute,
  type Name,
  type Need,
  PLATFORM_NAME,
  type ResourceRoute,
  type Site,
  subjects,
} from "@bulkhead/schema";
import { planMessages } from "./message-routes.ts";
import { planResources } from "./resource-routes.ts";

/** What of an instrument matters here: a resolved instrument's name and its manifest's needs. */
export interface BusInstrument {
  readonly name: Name;
  readonly needs: readonly Need[];
}

/** One user of the broker, in the terms of nats-server's `permissions` block. */
export interface BusUser {
  readonly name: Name;
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
  /** `allow_responses`: how many answers to one request, and for how long after it. */
  readonly responses: { readonly max: number; readonly expires: string };
}

/** The durable pull consumer of one events grant. */
export interface BusConsumer {
  readonly stream: string;
  readonly name: string;
  readonly from: Name;
  readonly to: Name;
  readonly type: string;
  readonly filterSubject: string;
  /** Where it begins when it is made: now, with all that is kept, or so many milliseconds ago. */
  readonly replay: "none" | "all" | number;
}

export interface PublishedType {
  readonly type: string;
  readonly maxBytes: number;
}

export interface BusPlan {
  /** One for each instrument, and the platform's. */
  readonly users: readonly BusUser[];
  readonly instruments: readonly {
    readonly name: Name;
    /** Types that it may emit; empty: it has no stream of events. */
    readonly emits: readonly string[];
    /** Types of resources that it may publish, and how large each may be. */
    readonly publishes: readonly PublishedType[];
  }[];
  readonly consumers: readonly BusConsumer[];
  /** Who may send what to whom. */
  readonly messages: readonly MessageRoute[];
  /** Whose resources go to whom. */
  readonly resources: readonly ResourceRoute[];
  /** Grants that give nothing, each with the reason. */
  readonly ignored: readonly string[];
}

/** How long a command may take to be answered, as a message at most: a rule set is checked and loaded within it. */
export const COMMAND_DEADLINE_MS = MAX_MESSAGE_DEADLINE_MS;

export function planBus(instruments: readonly BusInstrument[], grants: Site["grants"]): BusPlan {
  const members = instruments.filter(({ name }) => name !== PLATFORM_NAME);
  const needs = new Map(members.map(({ name, needs: own }) => [name, own]));
  const { consumers, ignored } = planConsumers(needs, grants.events);
  const messages = planMessages(needs, grants.messages);
  const resources = planResources(needs, grants.resources);
  return {
    users: [platformUser(), ...members.map((member) => instrumentUser(member, consumers, messages.routes))],
    instruments: members.map(({ name, needs: own }) => ({
      name,
      emits: emittedTypes(own),
      publishes: publishedTypes(own),
    })),
    consumers,
    messages: messages.routes,
    resources: resources.routes,
    ignored: [...ignored, ...messages.ignored, ...resources.ignored],
  };
}

function planConsumers(
  needs: ReadonlyMap<Name, readonly Need[]>,
  grants: Site["grants"]["events"],
): { readonly consumers: readonly BusConsumer[]; readonly ignored: readonly string[] } {
  const consumers = new Map<string, BusConsumer>();
  const ignored: string[] = [];
  for (const { from, type, to, replay = "none" } of grants) {
    const what = `event ${type} from ${from} to ${to}`;
    const emitted = (needs.get(from) ?? []).some(
      (n) => n.kind === "event.emit" && n.type === type && n.audience.includes("instruments"),
    );
    const consumed = (needs.get(to) ?? []).some((n) => n.kind === "event.consume" && n.type === type);
    if (!emitted) ignored.push(`${what}: ${from} does not emit it to instruments`);
    else if (!consumed) ignored.push(`${what}: ${to} does not consume it`);
    else {
      const stream = subjects.stream(from);
      const name = subjects.consumer(to, type);
      // The same grant twice is one consumer.
      consumers.set(`${stream} ${name}`, {
        stream,
        name,
        from,
        to,
        type,
        filterSubject: subjects.event(from, type),
        replay,
      });
    }
  }
  return { consumers: [...consumers.values()], ignored };
}

function instrumentUser(
  { name, needs }: BusInstrument,
  consumers: readonly BusConsumer[],
  messages: readonly MessageRoute[],
): BusUser {
  const own = consumers.filter(({ to }) => to === name);
  return {
    name,
    publish: distinct([
      ...emittedTypes(needs).map((type) => subjects.event(name, type)),
      ...(["hello", "health", "log", "quarantine"] as const).map((service) =>
        subjects.service(name, service),
      ),
      ...(publishedTypes(needs).length > 0
        ? [subjects.service(name, "deliver"), `${subjects.service(name, "deliver")}.>`]
        : []),
      ...(needs.some((need) => need.kind === "find") ? [subjects.service(name, "find")] : []),
      ...messages.filter(({ from }) => from === name).map(({ to, verb }) => subjects.message(to, name, verb)),
      ...own.flatMap((consumer) => [
        `$JS.API.CONSUMER.MSG.NEXT.${consumer.stream}.${consumer.name}`,
        `$JS.ACK.${consumer.stream}.${consumer.name}.>`,
      ]),
    ]),
    subscribe: [`msg.${name}.>`, `cmd.${name}.>`, `${subjects.inbox(name)}.>`],
    responses: { max: 1, expires: `${COMMAND_DEADLINE_MS / 1000}s` },
  };
}

function platformUser(): BusUser {
  return {
    name: PLATFORM_NAME,
    publish: [
      subjects.events(PLATFORM_NAME),
      "cmd.>",
      "_INBOX.>",
      "$JS.API.>",
      // What this very connection may do, which shows whether the broker follows the newest rules.
      "$SYS.REQ.USER.INFO",
    ],
    subscribe: ["svc.>", `${subjects.inbox(PLATFORM_NAME)}.>`],
    responses: { max: 1, expires: "5s" },
  };
}

function emittedTypes(needs: readonly Need[]): readonly string[] {
  return distinct(needs.flatMap((need) => (need.kind === "event.emit" ? [need.type] : [])));
}

/** Of a type that is declared twice, the larger. */
export function publishedTypes(needs: readonly Need[]): readonly PublishedType[] {
  const types = new Map<string, number>();
  for (const need of needs) {
    if (need.kind !== "resource.publish") continue;
    types.set(need.type, Math.max(need.size, types.get(need.type) ?? 0));
  }
  return [...types].map(([type, maxBytes]) => ({ type, maxBytes }));
}

function distinct(items: readonly string[]): readonly string[] {
  return [...new Set(items)];
}
