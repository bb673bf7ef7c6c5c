/**
 * Files of a new instrument: a manifest, settings, an agent that emits one event at an interval, and its unit test.
 *
 * Invariants: pure; what it renders type-checks, passes its own test and is formatted as the project's formatter would
 * have it, whatever the name. A test makes one and holds it to that.
 */
import type { Name } from "@bulkhead/schema";

/** Paths below the instrument's folder, with the text of each. */
export function renderInstrumentFiles(name: Name): Readonly<Record<string, string>> {
  return {
    "instrument.yaml": manifest(name),
    "package.json": json({
      name: `@bulkhead/instrument-${name}`,
      version: "0.1.0",
      private: true,
      license: "Apache-2.0",
      type: "module",
      sideEffects: false,
      exports: "./src/index.ts",
      dependencies: { "@bulkhead/sdk": "*", zod: "^4.6.7" },
    }),
    "config.schema.json": json({
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "object",
      properties: {
        intervalMs: {
          description: "How often, in milliseconds",
          default: 60_000,
          type: "integer",
          minimum: 100,
          maximum: 86_400_000,
        },
      },
      additionalProperties: false,
    }),
    "README.md": readme(name),
    "src/agent.ts": agent(name),
    "src/agent.test.ts": agentTest(name),
    "src/index.ts": index(),
    "src/main.ts": main(name),
    "src/settings.test.ts": settingsTest(),
    "src/settings.ts": settings(name),
  };
}

/** `port-notes` → `Port notes`. */
function titleOf(name: Name): string {
  return `${name.slice(0, 1).toUpperCase()}${name.slice(1).replaceAll("-", " ")}`;
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function manifest(name: Name): string {
  return `# What it is and what it asks for; the operator's site grants. All needs: docs/writing-an-instrument.md.
apiVersion: bulkhead/v1
name: ${name}
version: 0.1.0
title: ${titleOf(name)}
role: helper
image: { base: debian }
run:
  { command: [/opt/node/bin/node, --max-semi-space-size=1, --optimize-for-size, /opt/instrument/agent.cjs] }
resources: { memory: 64MiB, cpu: 0.25, processes: 32 }
config: ./config.schema.json
needs:
  - id: tick
    kind: event.emit
    type: ${name}.tick
    audience: [users, instruments]
    why: say that it runs
`;
}

function readme(name: Name): string {
  return `# ${titleOf(name)}

Emits \`${name}.tick\` at an interval. Settings: \`config.schema.json\`, and the same in \`src/settings.ts\`.

\`\`\`
node --test 'instruments/${name}/src/*.test.ts'   # needs no sensor
sudo ./bulkhead setup                # builds its image
\`\`\`

In a site:

\`\`\`yaml
instruments:
  ${name}: { package: ${name}, config: { intervalMs: 5000 } }
\`\`\`
`;
}

function settings(name: Name): string {
  return `/** The operator's settings of ${name}; config.schema.json says the same, and a test holds the two together. */
import * as z from "zod";

export const Settings = z.strictObject({
  intervalMs: z.int().min(100).max(86_400_000).default(60_000).describe("How often, in milliseconds"),
});
export type Settings = z.infer<typeof Settings>;
`;
}

function index(): string {
  return `/** What tests and tools may use of this instrument; its process begins in main.ts. */
export { Settings } from "./settings.ts";
`;
}

function main(name: Name): string {
  return `/** The process of ${name}. */
import { runInstrument } from "@bulkhead/sdk";
import { agent } from "./agent.ts";

runInstrument(agent);
`;
}

function agent(name: Name): string {
  return `/** The agent of ${name}: emits a record at an interval. */
import type { InstrumentDefinition } from "@bulkhead/sdk";
import { Settings } from "./settings.ts";

export const agent: InstrumentDefinition<Settings> = {
  config: Settings,
  start(context) {
    let timer: NodeJS.Timeout | undefined;
    let count = 0;
    return {
      apply({ intervalMs }) {
        clearInterval(timer);
        const tick = (): void => void context.emit("${name}.tick", { count: ++count });
        timer = setInterval(tick, intervalMs);
        tick();
        context.health.ready();
      },
      stop() {
        clearInterval(timer);
      },
    };
  },
};
`;
}

function agentTest(name: Name): string {
  return `import assert from "node:assert/strict";
import { test } from "node:test";
import { startForTest } from "@bulkhead/sdk/testing";
import { agent } from "./agent.ts";

test("it emits at once, then at its interval, until it is stopped", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  await using instrument = await startForTest(agent, {
    emits: ["${name}.tick"],
    config: { intervalMs: 1_000 },
  });
  assert.equal(instrument.health.state, "ready");
  t.mock.timers.tick(2_500);
  await instrument.stop();
  t.mock.timers.tick(5_000);
  const counts = instrument.emitted.map(({ data }) => data);
  assert.deepEqual(counts, [{ count: 1 }, { count: 2 }, { count: 3 }]);
});

test("settings that do not fit are refused", async () => {
  await using instrument = await startForTest(agent);
  assert.equal((await instrument.applyConfig({ intervalMs: 0 })).outcome, "refused");
  assert.equal((await instrument.applyConfig({})).outcome, "applied");
});
`;
}

function settingsTest(): string {
  return `import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import * as z from "zod";
import { Settings } from "./settings.ts";

test("config.schema.json says what the settings say", async () => {
  const text = await readFile(new URL("../config.schema.json", import.meta.url), "utf8");
  assert.deepEqual(JSON.parse(text), { ...z.toJSONSchema(Settings, { io: "input" }) });
});
`;
}
