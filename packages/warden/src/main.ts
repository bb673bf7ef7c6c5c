/**
 * warden: the only root process of an installation. Reads the root-owned site, holds the host to
 * it, and answers its two Unix sockets. It opens no network socket.
 *
 * It waits for the container runtime as long as that is away, and ends on SIGTERM with everything
 * left running: containers and datapath need no process of ours to go on.
 */
import { mkdir, readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import {
  CANARY_NAME,
  DEFAULT_INSTALLATION,
  InstallationName,
  installationLayout,
  Settings,
} from "@bulkhead/schema";
import { serveWarden } from "./api/server.ts";
import { AuditLog } from "./audit/audit-log.ts";
import { ContainmentChecks } from "./audit/containment-checks.ts";
import { SensorClock } from "./clock/sensor-clock.ts";
import { type Commands, hostCommands } from "./commands.ts";
import { requireSubordinateIds } from "./engine/idmap-claims.ts";
import { openRuntimeClient, type RuntimeClient } from "./engine/runtime-client.ts";
import { ensureRuntimeHome } from "./engine/runtime-home.ts";
import { WardenError } from "./error.ts";
import { HoldState } from "./hold/hold-state.ts";
import { Holder } from "./hold/holder.ts";
import type { Audit } from "./hold/ports.ts";
import { packetAllowance } from "./limits/packet-sockets.ts";
import { PacketWatch } from "./limits/packet-watch.ts";
import { linuxHost } from "./linux-host.ts";
import { openSensorKey } from "./sensor-key.ts";
import { AcceptedPackages, readCatalogue } from "./site/catalogue-store.ts";
import { SiteStore } from "./site/site-store.ts";
import { platformVolume } from "./vault/platform-volume.ts";
import { VaultKeeper } from "./vault/vault-keeper.ts";
import { Vault } from "./vault/vault.ts";
import type { Canaries } from "./verify/canaries.ts";
import { imageVolumes } from "./volumes/image-volumes.ts";
import { volumeUses } from "./volumes/volume-uses.ts";

const RETRY_MS = 1_000;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { installation: { type: "string", default: DEFAULT_INSTALLATION } },
  });
  const layout = installationLayout(InstallationName.parse(values.installation));
  if (process.getuid?.() !== 0) throw new WardenError("warden-not-root", "warden runs as root");
  const settings = Settings.parse(JSON.parse(await readFile(layout.settingsFile, "utf8")));
  const stopping = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => stopping.abort());
  const { signal } = stopping;

  await requireSubordinateIds();
  await mkdir(layout.wardenDir, { recursive: true, mode: 0o700 });
  const client = await waitForRuntime(settings.runtime.socket, layout.slug, signal);
  if (client === null) return;
  await ensureRuntimeHome(client, layout);
  await using audit = new AuditLog({
    dir: layout.auditDir,
    key: await openSensorKey(layout),
  });
  const commands = hostCommands();
  const vault = await Vault.open({ layout, commands });
  const clock = await SensorClock.open(layout);
  const volumes = imageVolumes(layout, commands, vault.keys, () => clock.span().latestMs);
  const keeper: VaultKeeper = new VaultKeeper({
    vault,
    platform: platformVolume({ volumes, commands, layout, settings }),
    volumes,
    commands,
    layout,
    audit: audit.writer("root"),
    onOpen: () => audit.attach(),
    onChange: () => holder.wake(),
  });
  await keeper.start();
  const host = await linuxHost({ client, layout, settings, commands, volumes });
  await using checks = new ContainmentChecks({ audit: audit.writer("warden") });
  const holder: Holder = new Holder({
    host: { ...host, observe: checks.counted((desired) => host.observe(desired)) },
    sites: new SiteStore(layout),
    accepted: new AcceptedPackages(layout),
    state: await HoldState.open(layout),
    audit: { ...audit.writer("warden"), problems: () => audit.problems() },
    readCatalogue: () => readCatalogue(layout),
    vault: () => keeper.state,
    nowMs: () => Date.now(),
    clock,
  });
  audit.onChange(() => holder.hinted());
  // A canary of an earlier life has no owner any more.
  await host.proving.canaries.remove();
  const close = await serveWarden(
    { holder, vault: keeper, host, audit, proving: host.proving, volumes: volumeUses(volumes), clock },
    layout,
    settings.gid,
  );
  holder.start(signal);
  void watchPackets(holder, host.proving.canaries, audit.writer("warden"), commands).run(signal);
  log("holding", { installation: layout.name });
  // An event is a hint to look: instruments that end are seen at once and not at the next tick.
  for await (const event of client.events(signal)) {
    if (event.kind !== "operation") holder.hinted();
  }
  await close();
}

/** Packet rings escape the memory limit, and no event tells of them. A canary that takes too much is no more. */
function watchPackets(holder: Holder, canaries: Canaries, audit: Audit, commands: Commands): PacketWatch {
  return new PacketWatch({
    commands,
    users: () =>
      [...holder.running(), canaries.standing()]
        .filter((each) => each !== null)
        .filter(({ spec }) => spec.capabilities.includes("NET_RAW"))
        .map(({ spec, pid }) => ({ instrument: spec.name, pid, allowed: packetAllowance(spec) })),
    onExcess: async (instrument, finding) => {
      if (instrument !== CANARY_NAME) return holder.exceeded(instrument, finding);
      await canaries.remove();
      await audit.append("limit.exceeded", instrument, { finding });
    },
    onTrouble: (subject, error) =>
      log("packet sockets cannot be looked at", {
        subject,
        message: error instanceof Error ? error.message : String(error),
      }),
  });
}

/** Null when told to stop first. */
async function waitForRuntime(
  socket: string,
  project: string,
  signal: AbortSignal,
): Promise<RuntimeClient | null> {
  let said = "";
  while (!signal.aborted) {
    try {
      return await openRuntimeClient(socket, project, signal);
    } catch (error) {
      if (!(error instanceof WardenError)) throw error;
      // Once for each reason, not once a second.
      if (said !== error.code)
        log("waiting for the container runtime", { code: error.code, message: error.message });
      said = error.code;
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
  return null;
}

function log(message: string, fields: Readonly<Record<string, string>>): void {
  process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), message, ...fields })}\n`);
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    const code = error instanceof WardenError ? error.code : "unexpected-error";
    log("warden ended", { code, message: error instanceof Error ? error.message : String(error) });
    process.exit(1);
  },
);
