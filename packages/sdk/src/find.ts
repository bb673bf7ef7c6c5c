/** Find: asks the platform which granted peers of a package there are. */
import { FindAnswer, type Peer, subjects } from "@bulkhead/schema";
import type { Msg } from "@nats-io/transport-node";
import type { Bus } from "./bus.ts";
import { errorText, SdkError } from "./error.ts";

const TIMEOUT_MS = 5_000;

/** As InstrumentContext.find. */
export async function findPeers(bus: Bus, type: string): Promise<readonly Peer[]> {
  const subject = subjects.service(bus.instrument, "find");
  let message: Msg;
  try {
    message = await bus.connection.request(subject, JSON.stringify({ type }), { timeout: TIMEOUT_MS });
  } catch (cause) {
    throw new SdkError("sdk-find-failed", `find ${type}: ${errorText(cause)}`, { cause });
  }
  const answer = FindAnswer.safeParse(message.json());
  if (!answer.success) throw new SdkError("sdk-find-failed", `find ${type}: the answer is none`);
  if (!answer.data.ok) throw new SdkError("sdk-find-refused", `find ${type}: ${answer.data.message}`);
  return answer.data.peers;
}
