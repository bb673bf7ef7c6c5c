/** Process entry of sensord: gives one run the real process and exits with its code. */
import { makeLog } from "./log.ts";
import { run } from "./run.ts";

// Nothing that sensord makes is for others, except the sockets that it opens to them by name.
process.umask(0o077);
const END_WITHIN_MS = 10_000;
const ended = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.once(signal, () => {
    ended.abort();
    // A part that does not let go must not keep the supervisor waiting.
    setTimeout(() => process.exit(1), END_WITHIN_MS).unref();
  });
}

process.exitCode = await run({
  args: process.argv.slice(2),
  uid: process.getuid?.() ?? -1,
  log: makeLog(process.stderr),
  ended: ended.signal,
});
process.exit();
