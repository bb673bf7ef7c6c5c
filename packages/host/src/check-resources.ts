/**
 * Checks of what a host has only so much of: disk space, the broker's port, and a clock that can be believed.
 */
import { stat, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Settings } from "@bulkhead/schema";
import { absent, failed, type HostCheck, ok } from "./host-check.ts";
import { readGreeting } from "./socket-probe.ts";

const gibibyte = 1024 ** 3;
/** Packages, images and their cache, the demo's volumes and events. */
const setupBytes = 6 * gibibyte;
/** Below this the volumes of a running sensor may not grow to their quota. */
const runningBytes = 2 * gibibyte;

export async function checkDisk(before: boolean): Promise<HostCheck> {
  const needBytes = before ? setupBytes : runningBytes;
  const { bavail, bsize } = await statfs("/var/lib");
  const freeBytes = bavail * bsize;
  const detail = `${(freeBytes / gibibyte).toFixed(1)} GiB free under /var/lib`;
  return freeBytes >= needBytes
    ? ok("disk", detail)
    : failed("disk", detail, `make ${(needBytes / gibibyte).toFixed(0)} GiB free there`);
}

/** Before set-up no port is chosen yet; a free one is then found. */
export async function checkPort(settings: Settings | undefined): Promise<HostCheck> {
  if (settings === undefined) return absent("port", "none chosen yet", "setup chooses a free one");
  const port = settings.brokerPort;
  const greeting = await readGreeting(port);
  if (greeting === undefined) return ok("port", `127.0.0.1:${port} is free for the broker`);
  return greeting.startsWith("INFO ")
    ? ok("port", `a broker listens on 127.0.0.1:${port}`)
    : failed(
        "port",
        `something that is no broker listens on 127.0.0.1:${port}`,
        "end it, or change brokerPort in installation.json while the platform is down",
      );
}

/** A clock before this program was written makes certificates and event times wrong. */
export async function checkTime(): Promise<HostCheck> {
  const written = (await stat(dirname(fileURLToPath(import.meta.url)))).birthtimeMs;
  const nowMs = Date.now();
  const detail = new Date(nowMs).toISOString();
  const dayMs = 86_400_000;
  const earliestMs = Date.UTC(2025, 0, 1);
  return nowMs > earliestMs && nowMs > written - dayMs
    ? ok("time", detail)
    : failed("time", `the clock says ${detail}`, "set the clock, for example with timedatectl");
}
