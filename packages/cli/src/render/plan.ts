/** A plan, or its faults, in words. */
import type { Fault, Plan } from "@bulkhead/schema";
import { tone } from "../output.ts";
import { renderTable } from "./table.ts";

export function renderPlan(plan: Plan): string {
  if (plan.faults.length > 0) return renderFaults(plan.faults);
  const parts: string[] = [];
  parts.push(
    renderTable(
      ["INSTRUMENT", "ASKS FOR", "", "GRANTED BY"],
      plan.asked.map((need) => [
        need.instrument,
        need.what,
        need.by === null ? tone("warn", "not granted") : tone("good", "granted"),
        need.by ?? "",
      ]),
    ),
  );
  if (plan.flows.length > 0) {
    const lines = plan.flows.map(
      (f) => `  ${f.path.join(" → ")}  ${tone("dim", `(${f.verdict}: ${f.why})`)}`,
    );
    parts.push(`Where mirrored traffic and personal data can go:\n${lines.join("\n")}`);
  }
  if (plan.pending.length > 0)
    parts.push(`Waiting:\n${plan.pending.map((p) => `  ${p.instrument}: ${p.what}`).join("\n")}`);
  if (plan.unused.length > 0)
    parts.push(`Granted, and used by nobody:\n${plan.unused.map((u) => `  ${u}`).join("\n")}`);
  parts.push(
    plan.steps.length === 0
      ? "Nothing to do: the host is as this site says."
      : `Steps:\n${renderTable(
          ["", "STEP", "TARGET", "WHY"],
          plan.steps.map((s, i) => [`  ${i + 1}`, s.kind, s.target, s.why]),
        )}`,
  );
  return parts.join("\n\n");
}

export function renderFaults(faults: readonly Fault[]): string {
  const blocks = faults.map(
    (fault) =>
      `${tone("bad", `${fault.file}:${fault.line}:${fault.column}`)} ${fault.message}  ${tone("dim", fault.code)}\n` +
      `    at ${fault.path === "" ? "the document" : fault.path}; accepted: ${fault.accepted}`,
  );
  const count = faults.length === 1 ? "1 fault" : `${faults.length} faults`;
  return `${blocks.join("\n")}\n${count}; nothing was changed.`;
}
