/** The far end of a canary's stand-in span: how many frames have come out there. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { CANARY_NAME } from "@bulkhead/schema";
import * as z from "zod";

const Links = z.array(z.object({ stats64: z.object({ rx: z.object({ packets: z.int() }) }) })).length(1);

/** Frames received so far (ip-link(8), -s). Throws where there is no such device. */
export async function receivedFrames(slug: string): Promise<number> {
  const namespace = `${slug}-${CANARY_NAME}-far`;
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
