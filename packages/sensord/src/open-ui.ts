/**
 * Opens an instrument's UI to a caller: the site's own grant is checked before a byte goes on,
 * and each request is recorded (who, where to, how it ended; never what passed), repeats as one.
 */
import type { Caller, Name } from "@bulkhead/schema";
import type { ApiCall, ApiContract } from "./api/contract.ts";
import { mayOpenUi } from "./api/authorize.ts";
import { ProblemError } from "./api/problem.ts";
import type { AuditQueue } from "./audit-queue.ts";
import type { AuditSums, Occurrence } from "./audit-sums.ts";
import { isSensordError, SensordError } from "./error.ts";
import type { SiteView } from "./site-view.ts";
import type { UiGate } from "./ui-gate.ts";
import { DEFAULT_UI_LIMITS } from "./ui-limits.ts";
import { proxyUi } from "./ui-proxy.ts";

export interface OpenUiParts {
  readonly gate: Pick<UiGate, "session">;
  readonly audit: Pick<AuditQueue, "admit">;
  readonly requests: Pick<AuditSums, "add">;
}

/** Throws `ui-not-granted`, `ui-denied`, `ui-away`, `audit-behind` and what the proxy throws. */
export async function openUi(
  parts: OpenUiParts,
  { caller, params: { instrument }, exchange }: ApiCall<ApiContract["ui"]>,
  view: SiteView,
): Promise<void> {
  const { request, response } = exchange;
  const prefix = `/api/v1/instruments/${instrument}/ui`;
  const url = request.url ?? "";
  // An instrument's name in another spelling (%70dns) is a name that nobody has a reason to send.
  const path = url.startsWith(prefix) ? url.slice(prefix.length) : "";
  const asked = {
    method: request.method ?? "",
    // Without the query: what somebody looks for may be personal data.
    path: path.split("?")[0] ?? "",
  };
  const record = (outcome: Occurrence["finer"], amounts: Occurrence["amounts"] = {}): void =>
    parts.requests.add({
      kind: "ui-request",
      subject: caller.subject,
      facts: { instrument, role: caller.role },
      finer: { ...asked, ...outcome },
      amounts,
    });
  parts.audit.admit();
  try {
    const session = admit(parts, caller, instrument, view);
    const headWithinMs = DEFAULT_UI_LIMITS.headWithinMs;
    const { status, end, ...amounts } = await proxyUi(session, {
      caller,
      instrument,
      path,
      prefix,
      request,
      response,
      headWithinMs,
    });
    record({ status, end }, amounts);
  } catch (error) {
    record({ refused: isSensordError(error) ? error.code : "unexpected-error" });
    throw error;
  }
}

function admit({ gate }: OpenUiParts, caller: Caller, instrument: Name, view: SiteView) {
  const roles = view.uiRoles.get(instrument);
  if (roles === undefined) {
    throw new ProblemError("ui-not-granted", `the site grants no UI of ${instrument}`);
  }
  if (!mayOpenUi(caller, roles)) {
    throw new ProblemError("ui-denied", `the site opens this UI to ${roles.join(", ")}`);
  }
  const session = gate.session(instrument);
  if (session !== null) return session;
  throw new SensordError("ui-away", `the UI of ${instrument} is not connected`);
}
