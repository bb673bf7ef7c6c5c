/**
 * The containers of an installation, seen from outside: which there are, their processes on the
 * host, and programs run inside as the instrument's own user.
 */
import { request } from "node:http";
import * as z from "zod";
import { runtimeCommand } from "../runtime.ts";
import { type Cli, type CliRun, runProgram } from "./cli.ts";

const INSTRUMENT_UID = 1000;
const Instances = z.object({
  metadata: z.array(
    z.object({
      name: z.string(),
      config: z.record(z.string(), z.string()),
      state: z.object({ pid: z.int() }).nullable(),
    }),
  ),
});

export interface Container {
  readonly name: string;
  /** Of its init on the host; 0 where it does not run. */
  readonly pid: number;
  /** First id of its range on the host. */
  readonly idmapBase: number;
}

export async function listContainers(cli: Cli): Promise<readonly Container[]> {
  const { runtime } = await cli.settings();
  const text = await get(runtime.socket, `/1.0/instances?recursion=2&project=${cli.layout.slug}`);
  return Instances.parse(JSON.parse(text)).metadata.map(({ name, config, state }) => ({
    name,
    pid: state?.pid ?? 0,
    idmapBase: Number(config["volatile.idmap.base"]),
  }));
}

/** Host pids of the containers' inits, by instrument. */
export async function initPids(cli: Cli): Promise<Readonly<Record<string, number>>> {
  return Object.fromEntries((await listContainers(cli)).map(({ name, pid }) => [name, pid]));
}

/** Projects that the runtime has, of everybody. */
export async function listProjects(cli: Cli): Promise<readonly string[]> {
  const { runtime } = await cli.settings();
  const Projects = z.object({ metadata: z.array(z.object({ name: z.string() })) });
  return Projects.parse(JSON.parse(await get(runtime.socket, "/1.0/projects?recursion=1"))).metadata.map(
    ({ name }) => name,
  );
}

/** Runs a Node script inside, as the instrument's user; the trimmed images have no shell. */
export async function runInside(cli: Cli, instrument: string, script: string): Promise<CliRun> {
  const { runtime } = await cli.settings();
  const where = ["--project", cli.layout.slug, "--user", `${INSTRUMENT_UID}`, "--group", `${INSTRUMENT_UID}`];
  const inside = [instrument, "--", "/opt/node/bin/node", "-e", script];
  const [file, ...args] = runtimeCommand(["exec", ...where, ...inside], runtime);
  return runProgram(file, args, { timeoutMs: 120_000 });
}

/** Pid inside and start time of each process of this name: the same values are the same process. */
export async function processesInside(cli: Cli, instrument: string, comm: string): Promise<string> {
  const script = `
    const fs = require("node:fs");
    for (const pid of fs.readdirSync("/proc").filter((n) => /^[0-9]+$/.test(n))) {
      try {
        const stat = fs.readFileSync("/proc/" + pid + "/stat", "utf8");
        const name = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
        if (name === ${JSON.stringify(comm)}) console.log(pid, stat.slice(stat.lastIndexOf(")")).split(" ")[20]);
      } catch (error) {
        if (error.code !== "ENOENT" && error.code !== "ESRCH") throw error;
      }
    }`;
  return (await runInside(cli, instrument, script)).stdout.trim();
}

async function get(socketPath: string, path: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const sent = request({ socketPath, path, headers: { host: "runtime" }, agent: false }, (response) => {
    const chunks: Buffer[] = [];
    response.on("data", (chunk: Buffer) => chunks.push(chunk));
    response.on("end", () => resolve(Buffer.concat(chunks).toString("utf8"))).on("error", reject);
  });
  sent.on("error", reject).end();
  return promise;
}
