/**
 * Mutation controls: shows for each attempt that it would have succeeded, and been seen, without the layers that cover
 * it; and that each of them alone stops it where it can.
 *
 * Invariants: layers are taken from canaries alone; a control that shows nothing is not caught, and the proof fails.
 */
import type { Attempt } from "../attempt.ts";
import { VerifyError } from "../error.ts";
import { type Finding, isStopped, isSuccess, lacking } from "./attack.ts";
import { canaryControls } from "./controls.ts";
import { AS_HOST_ROOT, namespaceFindings } from "./host-control.ts";
import type { Result } from "./result.ts";
import { attackCanary, type Session } from "./session.ts";

type Shown = Result["controls"][number];

/** By attempt. */
export async function prove(
  session: Session,
  onHost: ReadonlyMap<string, Finding>,
): Promise<ReadonlyMap<string, readonly Shown[]>> {
  const shown = new Map<string, Shown[]>();
  const show = ({ id }: Attempt, control: Shown): void =>
    void shown.set(id, [...(shown.get(id) ?? []), control]);
  for (const [, finding] of onHost) {
    // Where the host's own root cannot do it either, the host lacks what is attacked: absent, and no control.
    if (finding.attempt.control.kind !== "host" || lacking(finding)) continue;
    show(finding.attempt, shownBy(AS_HOST_ROOT, finding, isSuccess(finding)));
  }
  const absent = new Set([...onHost.values()].filter(lacking).map(({ attempt }) => attempt.id));
  const controls = canaryControls(session.attempts);
  for (const [index, control] of controls.entries()) {
    session.onProgress(`${session.instrument}: control ${index + 1} of ${controls.length}: ${control.name}`);
    const attempts = control.attempts.filter(({ id }) => !absent.has(id));
    if (attempts.length === 0) continue;
    try {
      const canary = await session.warden.createCanary({
        instrument: session.instrument,
        without: [...control.without],
      });
      const own = { ...session, attempts };
      const findings = await (control.byHostRoot === true ? namespaceFindings : attackCanary)(
        own,
        canary,
        control.without,
      );
      for (const finding of findings) {
        // The host's root is let do it by its own kernel: what counts is whether it arrives.
        const stopped = control.byHostRoot === true ? finding.witness === null : isStopped(finding);
        const caught = control.expects === "success" ? isSuccess(finding) : stopped;
        show(finding.attempt, shownBy(control.name, finding, caught));
      }
    } catch (error) {
      if (!(error instanceof VerifyError)) throw error;
      // A canary that cannot be made shows nothing: its controls are not caught, and the others go on.
      for (const attempt of attempts)
        show(attempt, {
          control: control.name,
          caught: false,
          observed: error.message.slice(0, 300),
          witness: null,
        });
    }
  }
  return shown;
}

function shownBy(control: string, { observed, detail, witness }: Finding, caught: boolean): Shown {
  return { control, caught, observed: detail === "" ? observed : `${observed}: ${detail}`, witness };
}
