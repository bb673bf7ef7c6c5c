/**
 * A stand for tests of the container side: an installation of the test's own on the real runtime, with a real small
 * image, and everything taken away at the end.
 *
 * Invariants: nothing of it is shared with another installation but the image cache and the host's id ranges, of which
 * it gives its own back. The probe program in the image says what the kernel answered, and judges nothing.
 */
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { buildCatalogue } from "@bulkhead/images";
import {
  HOST_LAYOUT,
  type InstallationLayout,
  installationLayout,
  type InstrumentSpec,
} from "@bulkhead/schema";
import { type Commands, hostCommands } from "../../../packages/warden/src/commands.ts";
import { observeHostFacts } from "../../../packages/warden/src/engine/host-facts.ts";
import { isMountPoint } from "../../../packages/warden/src/engine/host-mounts.ts";
import { type IdmapClaims, idmapClaims } from "../../../packages/warden/src/engine/idmap-claims.ts";
import { type Images, images } from "../../../packages/warden/src/engine/images.ts";
import { type Instances, instances } from "../../../packages/warden/src/engine/instances.ts";
import { hostKernelView } from "../../../packages/warden/src/engine/kernel-view.ts";
import { openRuntimeClient, type RuntimeClient } from "../../../packages/warden/src/engine/runtime-client.ts";
import { ensureRuntimeHome, removeRuntimeHome } from "../../../packages/warden/src/engine/runtime-home.ts";
import { type Inboxes, inboxes } from "../../../packages/warden/src/inbox/inbox.ts";
import { resourceDirectories } from "../../../packages/warden/src/resources/resource-directories.ts";
import { imageVolumes } from "../../../packages/warden/src/volumes/image-volumes.ts";
import type { VolumeStore } from "../../../packages/warden/src/volumes/volume-store.ts";
import { runtimeCommand, TEST_RUNTIME } from "../../runtime.ts";
import { openVault } from "../vault/vault-stand.ts";

/** Owner of the sockets' directories; any unprivileged user of the host. */
export const PLATFORM_ID = 65_533;
const PACKAGE = "probe";
const MANIFEST = `apiVersion: bulkhead/v1
name: ${PACKAGE}
version: 1.0.0
title: Probe
role: passive
image: { base: debian, packages: [perl-base], files: [probe.pl, loop.sh, stubborn.sh] }
run: { command: [/bin/busybox, sleep, "1000000"], capabilities: [NET_RAW] }
resources: { memory: 64MiB, cpu: 1, processes: 32 }
needs: []
`;

export interface EngineStand extends AsyncDisposable {
  readonly layout: InstallationLayout;
  readonly client: RuntimeClient;
  readonly commands: Commands;
  readonly images: Images;
  readonly instances: Instances;
  readonly idmaps: IdmapClaims;
  readonly volumes: VolumeStore;
  readonly inboxes: Inboxes;
  /** A spec of the probe image; `name` and whatever else is given. */
  spec(name: string, more?: Partial<InstrumentSpec>): InstrumentSpec;
  /** Creates and starts, and makes the persistent volumes. */
  run(spec: InstrumentSpec): Promise<void>;
  /** Runs a program inside, as the container's root unless it says a uid. */
  exec(instrument: string, argv: readonly string[], uid?: number): Promise<ExecResult>;
  pidOf(instrument: string): Promise<number>;
}

export interface ExecResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param name of the installation; each test file has its own */
export async function engineStand(name: string): Promise<EngineStand> {
  const layout = installationLayout(name);
  const commands = hostCommands();
  const client = await openRuntimeClient(TEST_RUNTIME.socket, layout.slug);
  await using stack = new AsyncDisposableStack();
  // What an earlier run of this test left when it was killed is in the way.
  await clear(client, layout, commands);
  stack.defer(() => clear(client, layout, commands));

  const digest = await buildImage(layout);
  await mkdir(layout.nodeDir, { recursive: true });
  await writeFile(join(layout.nodeDir, "here"), "node\n");
  await ensureRuntimeHome(client, layout);
  const vault = await openVault(layout.libDir);
  const volumes = imageVolumes(layout, commands, vault.keys);
  const inbox = inboxes(layout);
  const idmaps = idmapClaims({
    installation: layout.name,
    claimsDir: HOST_LAYOUT.idmapDir,
    recordsDir: join(layout.wardenDir, "idmap"),
  });
  const catalogue = images(client, layout);
  await catalogue.importImage(PACKAGE, digest);
  const containers = instances({
    client,
    layout,
    settings: { uid: PLATFORM_ID, gid: PLATFORM_ID },
    host: await observeHostFacts(),
    idmaps,
    volumes,
    inboxes: inbox,
    resources: resourceDirectories(layout, { uid: PLATFORM_ID, gid: PLATFORM_ID }, commands),
    kernel: hostKernelView(),
    commands,
  });
  const owned = stack.move();
  return {
    layout,
    client,
    commands,
    images: catalogue,
    instances: containers,
    idmaps,
    volumes,
    inboxes: inbox,
    spec: (instrument, more = {}) => ({
      name: instrument,
      package: PACKAGE,
      version: "1.0.0",
      imageDigest: digest,
      command: ["/bin/busybox", "sleep", "1000000"],
      capabilities: [],
      memoryBytes: 64 * 2 ** 20,
      cpu: 1,
      processes: 32,
      volumes: [],
      ui: false,
      egress: false,
      resources: false,
      network: { kind: "none" },
      ...more,
    }),
    async run(spec) {
      for (const volume of spec.volumes) {
        if (volume.kind === "persistent") await volumes.create({ instrument: spec.name, ...volume });
      }
      await containers.create(spec, specDigest(spec));
      await containers.start(spec.name);
    },
    exec: (instrument, argv, uid = 0) =>
      runtimeProgram([
        `--project=${layout.slug}`,
        "exec",
        instrument,
        `--user=${uid}`,
        `--group=${uid}`,
        "--",
        ...argv,
      ]),
    async pidOf(instrument) {
      const found = (await containers.observe()).find((each) => each.name === instrument);
      const pid = found?.pid ?? null;
      if (pid === null) throw new Error(`${instrument} does not run`);
      return pid;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Any digest does, as long as another spec has another. */
export function specDigest(spec: InstrumentSpec): string {
  return Buffer.from(JSON.stringify(spec)).toString("hex").slice(-64).padStart(64, "0");
}

/** Waits for a condition, generously; fails with what was seen last. */
export async function eventually<T>(
  read: () => Promise<T>,
  holds: (value: T) => boolean,
  timeoutMs = 30_000,
): Promise<T> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    const value = await read();
    if (holds(value)) return value;
    if (performance.now() > endMs) throw new Error(`never came: ${JSON.stringify(value)}`);
    await delay(100);
  }
}

async function buildImage(layout: InstallationLayout): Promise<string> {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "bulkhead-probe-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const source = join(dir, PACKAGE);
  await mkdir(source);
  await writeFile(join(source, "instrument.yaml"), MANIFEST);
  for (const file of ["probe.pl", "loop.sh", "stubborn.sh"]) {
    await cp(new URL(file, import.meta.url), join(source, file));
  }
  const { cacheDir } = HOST_LAYOUT;
  const [built] = await buildCatalogue({ instrumentsDir: dir, catalogueDir: layout.catalogueDir, cacheDir });
  if (built === undefined) throw new Error("the probe image was not built");
  return built.digest;
}

async function clear(client: RuntimeClient, layout: InstallationLayout, commands: Commands): Promise<void> {
  const listed = await runtimeProgram(["--project", layout.slug, "list", "-f", "csv", "-c", "n"]);
  for (const instrument of listed.stdout.split("\n").filter((line) => listed.exitCode === 0 && line !== "")) {
    await runtimeProgram(["--project", layout.slug, "delete", "-f", instrument]);
  }
  await removeRuntimeHome(client, layout);
  const { keys } = await openVault(layout.libDir);
  const volumes = imageVolumes(layout, commands, keys);
  for (const volume of await volumes.observe()) await volumes.remove(volume);
  if (await isMountPoint(layout.mountsDir)) await commands.run(["umount", layout.mountsDir]);
  for (const file of await readdir(HOST_LAYOUT.idmapDir).catch(() => [])) {
    const path = join(HOST_LAYOUT.idmapDir, file);
    const text = await readFile(path, "utf8").catch(() => "");
    if (text.includes(`"installation":"${layout.name}"`)) await rm(path, { force: true });
  }
  const { etcDir, optDir, libDir, runDir, logDir } = layout;
  for (const dir of [etcDir, optDir, libDir, runDir, logDir]) await rm(dir, { recursive: true, force: true });
}

function runtimeProgram(args: readonly string[]): Promise<ExecResult> {
  const [file, ...argv] = runtimeCommand(args);
  const { promise, resolve } = Promise.withResolvers<ExecResult>();
  const child = execFile(file, argv, { timeout: 60_000 }, (error, stdout, stderr) => {
    const exitCode = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
    resolve({ exitCode, stdout, stderr });
  });
  child.stdin?.end();
  return promise;
}
