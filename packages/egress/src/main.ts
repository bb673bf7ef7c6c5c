/**
 * egress: the proxy's process. warden starts it in the namespace of the egress interface, as a user of its own, in a
 * root of its own that holds nothing but what is named here; it ends with warden.
 */
import { parseArgs } from "node:util";
import { runEgressProxy } from "./egress-proxy.ts";
import { stderrLog, wordsOf } from "./log.ts";

const USAGE = "usage: egress --policy FILE --sockets DIR --records SOCKET";

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { policy: { type: "string" }, sockets: { type: "string" }, records: { type: "string" } },
  });
  const { policy: policyFile, sockets: socketsDir, records: recordSocket } = values;
  if (
    policyFile === undefined ||
    socketsDir === undefined ||
    recordSocket === undefined ||
    process.getuid?.() === 0
  ) {
    stderrLog(process.getuid?.() === 0 ? "the proxy does not run as root" : USAGE);
    return 2;
  }
  const stopping = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => stopping.abort());
  await runEgressProxy({ policyFile, socketsDir, recordSocket, log: stderrLog }, stopping.signal);
  return 0;
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    stderrLog("egress ended", { error: wordsOf(error) });
    process.exit(1);
  },
);
