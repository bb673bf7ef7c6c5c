/**
 * The noisy bench: one instrument does harm, and what that costs a bystander, the capture path and sensord is
 * measured, each attack in turn with nothing, so that a disturbance of the machine meets both alike.
 *
 * Invariants: what is made on the host goes at the end, also after a failure; an attack that did not begin is a
 * failure and no good figure; one that the platform stopped is waited out.
 */
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { API_ROUTES, SensorStatus, Settings } from "@bulkhead/schema";
import { buildPacketTools, runCommand } from "@bulkhead/testkit";
import { type Result, resultOf } from "../result.ts";
import { type Installation, openInstallation } from "../sensor/installation.ts";
import { makeSpan, SPAN_DEVICE, untilRunning } from "../sensor/running-sensor.ts";
import { buildPacketHog } from "./packet-hog.ts";
import {
  ATTACK_SCRIPTS,
  ATTACKER_NAMES,
  type AttackId,
  attackerOf,
  BYSTANDER_SCRIPT,
  PACKET_ATTACKS,
} from "./attack-scripts.ts";
import { Inside, type InsideProgram } from "./inside.ts";
import { BYSTANDER, QUIET_INSTRUMENTS, renderNoisySite, TAP } from "./noisy-site.ts";
import { measureRates, type RateId, type RateParts, RATES, UNITS } from "./rates.ts";

export interface NoisyOptions {
  readonly quick: boolean;
  readonly keep: boolean;
  readonly only: readonly AttackId[];
  readonly say: (words: string) => void;
  readonly signal: AbortSignal;
}

export const ATTACKS: readonly AttackId[] = [
  // The keys of an object literal are exactly the union; Object.keys forgets that.
  ...(Object.keys(ATTACK_SCRIPTS) as AttackId[]),
  ...(Object.keys(PACKET_ATTACKS) as AttackId[]),
];

const FULL = { rounds: 5, windowMs: 500 };
const QUICK = { rounds: 2, windowMs: 400 };
/** From the first sign of an attack until it is in full swing. */
const SWING_MS = 700;
const HOG = "/data/run/packet-hog";
const INSTRUMENTS = [...QUIET_INSTRUMENTS, ...ATTACKER_NAMES];

export interface NoisyOutcome {
  readonly results: readonly Result[];
  readonly failures: readonly { readonly part: string; readonly error: unknown }[];
}

export async function benchNoisy(options: NoisyOptions): Promise<NoisyOutcome> {
  const { say, signal } = options;
  const effort = options.quick ? QUICK : FULL;
  const results: Result[] = [];
  const failures: { part: string; error: unknown }[] = [];
  say("making way for an installation of the bench's own");
  await using installation = await openInstallation({ cold: false, keep: options.keep });
  await installation.run("setup");
  await installation.run("up");
  await using span = await makeSpan();
  await installation.apply(renderNoisySite(SPAN_DEVICE));
  await untilRunning(installation, INSTRUMENTS);
  const settings = Settings.parse(JSON.parse(await readFile(installation.layout.settingsFile, "utf8")));
  const inside = new Inside(installation.layout, settings);
  await using worker = await inside.node(BYSTANDER, BYSTANDER_SCRIPT);
  const parts: RateParts = {
    worker,
    api: installation.api,
    tools: await buildPacketTools(),
    port: span.port,
    tapPid: await pidOf(installation, settings, TAP),
    windowMs: effort.windowMs,
  };
  await untilFramesArrive(parts);
  const hog = await readFile(await buildPacketHog());
  for (const attack of options.only) {
    signal.throwIfAborted();
    try {
      results.push(...(await measureAttack(attack, { inside, installation, parts, hog, effort, say })));
    } catch (error) {
      failures.push({ part: attack, error });
    }
  }
  return { results, failures };
}

interface Scene {
  readonly inside: Inside;
  readonly installation: Installation;
  readonly parts: RateParts;
  readonly hog: Buffer;
  readonly effort: typeof FULL;
  readonly say: (words: string) => void;
}

async function measureAttack(attack: AttackId, scene: Scene): Promise<readonly Result[]> {
  const { parts, effort, say } = scene;
  const attacker = attackerOf(attack);
  const samples = (): Record<RateId, number[]> => ({ bystander: [], capture: [], sensord: [] });
  const [calm, attacked] = [samples(), samples()];
  let seen = "";
  for (let round = 0; round < effort.rounds; round += 1) {
    await untilRunning(scene.installation, INSTRUMENTS);
    const before = await measureRates(parts);
    for (const id of RATES) calm[id].push(before[id]);
    const program = await begin(attack, scene);
    // One with packets may be stopped before it has said a word; the state below tells so.
    if (program.firstLine === null && attacker !== "noisy-tap") throw new Error(`${attack} did not begin`);
    seen = program.firstLine ?? "stopped at once";
    await sleep(SWING_MS);
    const during = await measureRates(parts);
    for (const id of RATES) attacked[id].push(during[id]);
    await program[Symbol.asyncDispose]();
    await sleep(SWING_MS);
  }
  const { instruments } = await scene.installation.api.get(API_ROUTES.status.path, SensorStatus);
  const now = instruments.find(({ name }) => name === attacker);
  say(`${attack}: ${seen}; ${attacker} is ${now?.state ?? "gone"}${now?.detail ? `, ${now.detail}` : ""}`);
  return RATES.map((id) =>
    resultOf({
      id: `noisy.${attack}.${id}`,
      unit: UNITS[id],
      samples: attacked[id],
      beside: { unattacked: calm[id] },
      goals: [
        {
          on: "unattacked",
          op: ">=",
          value: 0.8,
          note: `${id} while ${attacker} does its worst`,
          heldBack:
            "the cores that the attacker's own allowance leaves, and what the kernel does for it unaccounted",
        },
      ],
    }),
  );
}

/** Long enough for the swing and all three rates, with some to spare on a busy machine. */
async function begin(attack: AttackId, { inside, hog, effort }: Scene): Promise<InsideProgram> {
  const seconds = String(Math.ceil((SWING_MS + 4 * effort.windowMs) / 1_000) + 1);
  const attacker = attackerOf(attack);
  if (attack in ATTACK_SCRIPTS) {
    // Just looked up.
    return inside.node(attacker, ATTACK_SCRIPTS[attack as keyof typeof ATTACK_SCRIPTS], seconds);
  }
  await putWhenRunning(() => inside.put(attacker, HOG, hog));
  const mode = PACKET_ATTACKS[attack as keyof typeof PACKET_ATTACKS];
  return inside.asRoot(attacker, [HOG, mode, seconds, "mon0"]);
}

/** One that was stopped for its last attack may still be told as running for a moment. */
async function putWhenRunning(put: () => Promise<void>): Promise<void> {
  const deadlineMs = performance.now() + 60_000;
  for (;;) {
    try {
      return await put();
    } catch (error) {
      if (performance.now() > deadlineMs) throw error;
      await sleep(1_000);
    }
  }
}

/** The span was made anew for this bench: until it is taken, nothing is mirrored. */
async function untilFramesArrive(parts: RateParts): Promise<void> {
  const deadlineMs = performance.now() + 60_000;
  while ((await measureRates(parts)).capture === 0) {
    if (performance.now() > deadlineMs) throw new Error("no frame arrives at the tap");
  }
}

/** Host pid of a container's first process. */
async function pidOf({ layout }: Installation, settings: Settings, instrument: string): Promise<number> {
  const client = settings.runtime.kind === "lxd" ? "lxc" : "incus";
  const { stdout } = await runCommand(client, [
    "query",
    `/1.0/instances/${instrument}/state?project=${layout.slug}`,
  ]);
  const { pid } = JSON.parse(stdout) as { readonly pid?: unknown };
  if (typeof pid === "number" && pid > 1) return pid;
  throw new Error(`${instrument} does not run`);
}
