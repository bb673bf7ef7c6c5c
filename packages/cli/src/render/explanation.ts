/** What an instrument may do, in plain words, with the line that says so. */
import type { Explanation } from "@bulkhead/schema";
import { tone } from "../output.ts";

export function renderExplanation(explanation: Explanation): string {
  const { instrument, title, role, sections, flows } = explanation;
  const parts = [`${tone("bold", instrument)} is ${title} (${explanation.package}, ${role}).`];
  for (const section of sections.filter((s) => s.lines.length > 0)) {
    const lines = section.lines.map((line) => `  ${line.text}  ${tone("dim", line.by)}`);
    parts.push(`${instrument} ${section.title}\n${lines.join("\n")}`);
  }
  if (flows.length > 0) {
    parts.push(
      `Where its data can go\n${flows.map((f) => `  ${f.path.join(" → ")}  ${tone("dim", `${f.verdict}: ${f.why}`)}`).join("\n")}`,
    );
  }
  return parts.join("\n\n");
}
