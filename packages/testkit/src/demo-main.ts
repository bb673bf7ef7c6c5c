/**
 * The demo's program: its commands, and the agents that it starts inside the namespaces.
 *
 * Invariants: each line of output is one JSON object; exit code 0 when done, 1 when something failed (or `observe`
 * found no whole network), 2 for a wrong call. This file is an entry and nothing imports it.
 */
import { parseArgs } from "node:util";
import { ATTACKS, ATTACK_IDS, isAttackId } from "./attacks.ts";
import { runAgent } from "./demo-agent.ts";
import { makeDemoFeed, removeDemoFeed } from "./demo-feed.ts";
import { makeDemoNetwork, observeDemoNetwork, removeDemoNetwork } from "./demo-network.ts";
import { attackDemoNetwork, runDemo } from "./demo-run.ts";
import { TestkitError } from "./error.ts";

const USAGE = `Usage: demo-main COMMAND --slug SLUG [options]

  run        make the network, serve, and make traffic and attacks until SIGTERM
               --rate N           benign activities a second (2)
               --feed-dir DIR     also publish the rules in DIR at a host of its own
               --attack-every S   seconds between attacks, 0 for none (20)
  make       make the network (idempotent)
  observe    print whether the network stands
  remove     remove the network
  attack ID… do attacks once in a standing network with running servers (all if none is named)
  attacks    list the attacks and the signatures that they raise

Example: demo-main run --slug bulkhead --rate 4 --attack-every 10
`;

async function main(argv: readonly string[]): Promise<number> {
  const { positionals, values } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      slug: { type: "string" },
      rate: { type: "string", default: "2" },
      "feed-dir": { type: "string" },
      "attack-every": { type: "string", default: "20" },
      help: { type: "boolean", short: "h" },
    },
  });
  const [command, ...words] = positionals;
  if (command === undefined || values.help === true) {
    process.stdout.write(USAGE);
    return values.help === true ? 0 : 2;
  }
  if (command === "agent") {
    runAgent();
    return 0;
  }
  if (command === "attacks") {
    log(ATTACKS);
    return 0;
  }
  const { slug } = values;
  if (slug === undefined) throw new TestkitError("testkit-bad-argument", "--slug is missing");
  const entry = process.argv[1] ?? "";
  switch (command) {
    case "run":
      await runDemo({
        slug,
        entry,
        signal: stopSignal(),
        ...(values["feed-dir"] === undefined ? {} : { feedDirectory: values["feed-dir"] }),
        rate: parseNumber("--rate", values.rate, 0.01),
        attackEveryMs: parseNumber("--attack-every", values["attack-every"], 0) * 1e3,
        log,
      });
      return 0;
    case "make":
      log({ network: await makeDemoNetwork(slug), feed: await makeDemoFeed(slug) });
      return 0;
    case "observe": {
      const observed = await observeDemoNetwork(slug);
      log(observed);
      return observed.state === "up" ? 0 : 1;
    }
    case "remove":
      await removeDemoFeed(slug);
      await removeDemoNetwork(slug);
      return 0;
    case "attack": {
      const unknown = words.find((word) => !isAttackId(word));
      if (unknown !== undefined)
        throw new TestkitError("testkit-unknown-attack", `no attack is called ${unknown}`);
      const which = words.length === 0 ? ATTACK_IDS : words.filter(isAttackId);
      log({ attacks: which, signatures: [...(await attackDemoNetwork(slug, undefined, { which, entry }))] });
      return 0;
    }
    default:
      throw new TestkitError("testkit-bad-argument", `unknown command ${command}`);
  }
}

function stopSignal(): AbortSignal {
  const stop = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => stop.abort());
  return stop.signal;
}

function parseNumber(option: string, text: string, least: number): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < least) {
    throw new TestkitError("testkit-bad-argument", `${option} must be a number of at least ${least}`);
  }
  return value;
}

function log(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

if (import.meta.main) {
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const code = error instanceof TestkitError ? error.code : undefined;
    process.stderr.write(`${JSON.stringify({ event: "failed", code, message: error.message })}\n`);
    process.exitCode = 1;
  }
}
