/** verify: the proof that containment holds, and of what it is worth. Root alone runs it. */
export { ATTEMPTS } from "./attempts/index.ts";
export { VerifyError } from "./error.ts";
export { checkReport, type ReportCheck } from "./report/check-report.ts";
export { writeReport } from "./report/write-report.ts";
export { listControls } from "./run/controls.ts";
export { AS_HOST_ROOT } from "./run/host-control.ts";
export { type Proof, ProofJson, proofJson } from "./run/result.ts";
export { verify } from "./run/verify.ts";
