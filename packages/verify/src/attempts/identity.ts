/** Attempts to find a secret of the platform's in what an instrument can read. */
import type { Attempt } from "../attempt.ts";
import { byBoth } from "./acts.ts";

const SEARCHED = {
  environment: { paths: "/proc/self/environ /proc/1/environ", what: "its environment" },
  arguments: { paths: "/proc/*/cmdline", what: "the command lines that it sees" },
  files: { paths: "/etc /inbox /opt/instrument /run", what: "every file that it can read" },
} as const;
/** What a secret of the platform's, of the broker's or of a person's looks like. */
// Written so that the search does not find itself.
const SECRET = "PRIVATE KEY[-]{5}|[p]assword=|[t]oken=|[B]earer |[e]yJhbGciOi";

export const IDENTITY: readonly Attempt[] = (Object.keys(SEARCHED) as (keyof typeof SEARCHED)[]).flatMap(
  (where) =>
    byBoth({
      id: `secret-in-${where}`,
      group: "identity",
      means: `Find a key, token or password in ${SEARCHED[where].what}.`,
      expected: ["nothing"],
      layers: [],
      control: { kind: "none", why: "the platform has no secret that it could give to a canary to be found" },
      witness: {
        kind: "answer",
        why: "what an instrument reads leaves no trace on the host",
      },
      run: async (machine) => {
        const { answer, detail = "" } = await machine.runProgram([
          "/bin/busybox",
          "sh",
          "-c",
          `/bin/busybox grep -rlaE '${SECRET}' ${SEARCHED[where].paths} 2>/dev/null | /bin/busybox grep -v -e /run/adversary -e '/etc/ssl/' -e /proc/self -e grep | /bin/busybox head -3 | /bin/busybox grep .`,
        ]);
        return answer === "done" ? { answer: "done", detail } : { answer: "nothing" };
      },
    }),
);
