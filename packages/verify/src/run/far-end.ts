/** The far end of a canary's stand-in span or port: how many frames have come there that should not have. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { CANARY_NAME, type InstrumentSpec } from "@bulkhead/schema";
import * as z from "zod";

const Links = z.array(z.object({ stats64: z.object({ rx: z.object({ packets: z.int() }) }) })).length(1);

/** Frames received so far (ip-link(8), -s). Throws where there is no such device. */
async function receivedFrames(slug: string): Promise<number> {
  const namespace = `${slug}-${CANARY_NAME}_far`;
  const { stdout } = await promisify(execFile)("ip", [
    "-n",
    namespace,
    "-j",
    "-s",
    "link",
    "show",
    "dev",
    "far0",
  ]);
  const [link] = Links.parse(JSON.parse(stdout));
  return link?.stats64.rx.packets ?? 0;
}

const Counters = z.object({
  nftables: z.array(z.looseObject({ counter: z.object({ packets: z.int() }).optional() })),
});

/** Frames that no instrument may send, counted by rules at the far end of a port or device. */
async function countedLies(slug: string): Promise<number> {
  const namespace = `/run/netns/${slug}-${CANARY_NAME}_far`;
  const argv = [`--net=${namespace}`, "--", "nft", "-j", "list", "counter", "netdev", "watch", "lies"];
  const { stdout } = await promisify(execFile)("nsenter", argv);
  const { nftables } = Counters.parse(JSON.parse(stdout));
  return nftables.reduce((sum, { counter }) => sum + (counter?.packets ?? 0), 0);
}

/** By the kind of the canary's network. Throws where the stand has no such device. */
export async function framesAt(slug: string, kind: InstrumentSpec["network"]["kind"]): Promise<number> {
  if (kind === "mirror") return receivedFrames(slug);
  return kind === "port" || kind === "nic" ? countedLies(slug) : 0;
}
