/** Resources as people read them: one line for each receiver of each, and what is on its way. */
import { renderDuration, renderSize, type ResourcesReport } from "@bulkhead/schema";
import { tone } from "../output.ts";
import { renderTable } from "./table.ts";

const DETAIL_SHOWN = 60;

type Resource = ResourcesReport["resources"][number];
type Receiver = Resource["receivers"][number];

/** @param nowMs milliseconds since 1970 */
export function renderResources({ resources, incoming, problems }: ResourcesReport, nowMs: number): string {
  if (resources.length + incoming.length === 0) return "No resource was published.";
  const rows = resources.flatMap((one) => {
    const words = [
      one.name,
      one.type,
      one.version.split("-")[0] ?? "",
      one.sha256.slice(0, 12),
      renderSize(one.sizeBytes),
      one.from,
    ];
    const age = renderDuration(Math.max(0, nowMs - Date.parse(one.deliveredAt)));
    if (one.receivers.length === 0) return [[...words, tone("dim", "nobody"), "", age]];
    return one.receivers.map((receiver) => [...words, receiver.to, renderState(one, receiver), age]);
  });
  return [
    ...(rows.length === 0
      ? []
      : [
          renderTable(["RESOURCE", "TYPE", "VERSION", "SHA-256", "SIZE", "FROM", "TO", "STATE", "AGE"], rows),
        ]),
    ...(incoming.length === 0
      ? []
      : [
          renderTable(
            ["COMING IN", "TYPE", "FROM", "RECEIVED", "OF"],
            incoming.map(({ name, type, from, receivedBytes, sizeBytes }) => [
              name,
              type,
              from,
              renderSize(receivedBytes),
              renderSize(sizeBytes),
            ]),
          ),
        ]),
    ...problems.map((text) => tone("bad", text)),
  ].join("\n\n");
}

function renderState({ version }: Resource, { state, detail, current, lastGood }: Receiver): string {
  const has = current === version ? "has it" : current === null ? "has none" : `has ${countOf(current)}`;
  const words = [has, state, ...(lastGood === null ? [] : [`last good ${countOf(lastGood)}`])].join(", ");
  const said = detail === "" ? words : `${words}: ${shortened(detail)}`;
  return state === "taken" ? tone("good", said) : tone(state === "waiting" ? "warn" : "bad", said);
}

/** The whole of it is in --json. */
function shortened(text: string): string {
  return text.length > DETAIL_SHOWN ? `${text.slice(0, DETAIL_SHOWN - 1)}…` : text;
}

function countOf(version: string): string {
  return version.split("-")[0] ?? "";
}
