/**
 * The test runner: unit, integration and end-to-end tests, on real parts.
 *
 * Usage: sudo ./bulkhead test [FILTER…]   files whose path contains one of the filters; all without
 *        sudo ./bulkhead test --soak [FILTER…]   the long ones: whole sensors with every kind of access, `*.soak.ts`
 *        sudo BULKHEAD_TEST_RUNTIME=incus ./bulkhead test [FILTER…]   on that container runtime (lxd, incus)
 *
 * What the tests need on the host (packages, the container runtime, images) is set up first, in an
 * installation of its own that is removed at the end unless it was there before.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { globSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { purge, setup } from "@bulkhead/host";
import { installationLayout } from "@bulkhead/schema";
import { DEMO_PACKAGES } from "@bulkhead/testkit";
import * as z from "zod";
import { progressPrinter } from "../packages/cli/src/render/progress.ts";
import { ASKED_RUNTIME } from "./runtime.ts";

const ROOT = join(import.meta.dirname, "..");
const INSTALLATION = "test";
/** What the tests run besides the platform's own: the demo's network, a compiler for packet tools, setcap. */
const PACKAGES = [
  ...DEMO_PACKAGES,
  "gcc",
  "libc6-dev",
  "libcap2-bin",
  "python3",
  "dnsmasq-base",
  "swtpm",
  "tpm2-tools",
] as const;
/** Longer than any one file takes on two busy cores: a hang ends, slowness does not. */
const FILE_TIMEOUT_MS = 15 * 60_000;

interface Suite {
  readonly name: string;
  readonly globs: readonly string[];
  readonly concurrency: number;
  readonly needsHost: boolean;
}

/** Integration tests whose processes have ports, sockets and directories of their own, and share nothing of the host. */
const APART = "audit|bus|resources|retention|sdk|sensord";

const SUITES: readonly Suite[] = [
  {
    name: "unit",
    globs: [
      "packages/*/{src,test}/**/*.test.ts",
      "instruments/*/src/**/*.test.ts",
      "test/{unit,bench}/**/*.test.ts",
    ],
    concurrency: 2,
    needsHost: false,
  },
  {
    name: "integration, of processes",
    globs: [`test/integration/@(${APART})/**/*.test.ts`],
    concurrency: 2,
    needsHost: true,
  },
  {
    name: "integration, on the host",
    globs: [`test/integration/!(${APART})/**/*.test.ts`],
    concurrency: 1,
    needsHost: true,
  },
  { name: "end-to-end", globs: ["test/e2e/**/*.test.ts"], concurrency: 1, needsHost: true },
];

/** Minutes for each file: not in what CI runs. */
const SOAK: readonly Suite[] = [
  { name: "soak", globs: ["test/e2e/**/*.soak.ts"], concurrency: 1, needsHost: true },
];

const Failure = z.strictObject({ place: z.string(), name: z.string(), why: z.string() });
const Count = z.strictObject({
  passed: z.int(),
  failed: z.int(),
  skipped: z.int(),
  failures: z.array(Failure),
});
type Count = z.infer<typeof Count>;

async function main(args: readonly string[]): Promise<number> {
  const suites = args.includes("--soak") ? SOAK : SUITES;
  const filters = args.filter((arg) => arg !== "--soak");
  if (filters.includes("--help") || filters.includes("-h")) {
    const text = await readFile(import.meta.filename, "utf8");
    process.stdout.write(
      `${text.slice(text.indexOf("Usage:"), text.indexOf(" */")).replaceAll(/^ \*(?: |$)/gm, "")}\n`,
    );
    return 0;
  }
  const chosen = suites
    .map((suite) => ({ ...suite, files: filesOf(suite, filters) }))
    .filter((s) => s.files.length > 0);
  const count: Count = { passed: 0, failed: 0, skipped: 0, failures: [] };
  const needsHost = chosen.some((suite) => suite.needsHost);
  if (needsHost && process.getuid?.() !== 0) {
    process.stderr.write("integration and end-to-end tests need root: sudo ./bulkhead test\n");
    return 1;
  }
  if (needsHost) {
    const options = { installation: INSTALLATION, runtime: ASKED_RUNTIME, extraPackages: PACKAGES };
    await setup(options, progressPrinter());
  }
  for (const suite of chosen) {
    const { passed, failed, skipped, failures } = await runSuite(suite, suite.files);
    count.passed += passed;
    count.failed += failed;
    count.skipped += skipped;
    count.failures.push(...failures);
  }
  if (needsHost) {
    const outcome = await purge({ installation: INSTALLATION }, progressPrinter());
    for (const error of outcome.errors) process.stderr.write(`purge: ${error.step}: ${error.message}\n`);
    count.failed += outcome.errors.length;
  }
  for (const { place, name, why } of count.failures) process.stdout.write(`\n✖ ${place} ${name}\n${why}\n`);
  const skipped = count.skipped > 0 ? `, ${count.skipped} skipped` : "";
  process.stdout.write(`${count.passed} passed, ${count.failed} failed${skipped}\n`);
  return count.failed === 0 && count.passed > 0 ? 0 : 1;
}

function filesOf(suite: Suite, filters: readonly string[]): readonly string[] {
  return globSync([...suite.globs], { cwd: ROOT, exclude: (path) => path.includes("node_modules") })
    .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
    .toSorted()
    .map((file) => join(ROOT, file));
}

/** In a process of its own, in which a test that failed and left something open does not keep the others waiting. */
async function runSuite(suite: Suite, files: readonly string[]): Promise<Count> {
  process.stdout.write(`\n${suite.name}: ${files.length} files\n`);
  const dir = await mkdtemp(join(tmpdir(), "bulkhead-test-"));
  try {
    const countFile = join(dir, "count.json");
    const options = [
      "--test",
      "--test-force-exit",
      `--test-concurrency=${suite.concurrency}`,
      `--test-timeout=${FILE_TIMEOUT_MS}`,
      "--test-reporter=spec",
      "--test-reporter-destination=stdout",
      `--test-reporter=${join(import.meta.dirname, "count-reporter.ts")}`,
      `--test-reporter-destination=${countFile}`,
    ];
    // What set-up brought, so that no two files fetch it at once.
    const broker = join(installationLayout(INSTALLATION).optDir, "bin", "nats-server");
    const env = suite.needsHost ? { ...process.env, BULKHEAD_NATS_SERVER: broker } : process.env;
    const child = spawn(process.execPath, [...options, ...files], { cwd: ROOT, stdio: "inherit", env });
    await once(child, "exit");
    return Count.parse(JSON.parse(await readFile(countFile, "utf8")));
  } finally {
    await rm(dir, { recursive: true });
  }
}

process.exitCode = await main(process.argv.slice(2));
