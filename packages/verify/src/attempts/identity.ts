/** Attempts to find a secret of the platform's in what an instrument can read. */
import type { Attempt } from "../attempt.ts";
import { byBoth } from "./acts.ts";

const SEARCHED = {
  environment: { paths: "/proc/self/environ /proc/1/environ", what: "its environment" },
  arguments: { paths: "/proc/*/cmdline", what: "the command lines that it sees" },
  memory: { paths: "/proc/self/mem /proc/1/mem", what: "the memory of its processes" },
  files: { paths: "/etc /inbox /opt/instrument /run", what: "every file that it can read" },
} as const;
/** What a secret of the platform's, of the broker's or of a person's looks like. */
// Written so that the search does not find itself.
const SECRET = "PRIVATE KEY[-]{5}|[p]assword=|[t]oken=|[B]earer |[e]yJhbGciOi";

const UNSHOWN = "there is no control: the platform gives no secret to a canary to be found";

/** The host searches the same, with the platform's own secrets in hand; what an instrument may read it cannot know. */
function witnessOf(where: keyof typeof SEARCHED): Attempt["witness"] {
  if (where !== "files") return { kind: "secrets", where, unshown: UNSHOWN };
  return {
    kind: "answer",
    why: "what may be read follows from the adversary's rights, which it tries itself",
  };
}

export const IDENTITY: readonly Attempt[] = (Object.keys(SEARCHED) as (keyof typeof SEARCHED)[]).flatMap(
  (where) =>
    byBoth({
      id: `secret-in-${where}`,
      group: "identity",
      means: `Find a key, token or password in ${SEARCHED[where].what}.`,
      expected: ["nothing"],
      layers: [],
      control: { kind: "none", why: "the platform has no secret that it could give to a canary to be found" },
      witness: witnessOf(where),
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
