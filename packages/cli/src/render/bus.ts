/** The bus as people read it: grants with what became of them, instruments with their rates, refusals. */
import type { BusReport, MessageRecord } from "@bulkhead/schema";
import { tone } from "../output.ts";
import type { BusRate } from "./bus-rates.ts";
import { renderTable } from "./table.ts";

const REFUSALS_SHOWN = 10;

export function renderBus(report: BusReport, rates: readonly BusRate[]): string {
  const parts = [
    report.broker === "up" ? `broker ${tone("good", "up")}` : `broker ${tone("bad", "down")}`,
    ...(report.problem === null ? [] : [tone("bad", report.problem)]),
    ...report.ignored.map((text) => tone("warn", `gives nothing: ${text}`)),
    ...(report.events.length === 0 ? [] : [renderEvents(report.events)]),
    ...(report.messages.length === 0 ? [] : [renderMessages(report.messages)]),
    renderInstruments(report.instruments, rates),
  ];
  const refusals = report.instruments
    .flatMap(({ name, refusals: own }) => own.map((refusal) => ({ name, ...refusal })))
    .toSorted((a, b) => (a.at < b.at ? -1 : 1))
    .slice(-REFUSALS_SHOWN)
    .map(({ at, name, reason, detail }) => [at, name, reason, detail]);
  if (refusals.length > 0) parts.push(renderTable(["REFUSED", "INSTRUMENT", "WHY", "WHAT"], refusals));
  return parts.join("\n\n");
}

export function renderMessage(message: MessageRecord): string {
  const { time, from, to, verb, sizeBytes, replyBytes, outcome, durationMs } = message;
  const mark = tone(outcome === "answered" ? "good" : "bad", outcome);
  const reply = replyBytes === null ? "" : `, reply ${replyBytes} B`;
  return `${tone("dim", time)} ${from} → ${to} ${verb} ${sizeBytes} B${reply} ${mark} ${durationMs} ms`;
}

function renderEvents(events: BusReport["events"]): string {
  const rows = events.map(({ from, type, to, lag, unacknowledged, waitingPulls }) => [
    from,
    type,
    to,
    lag ?? "?",
    unacknowledged ?? "?",
    lag !== null && lag > 0 && waitingPulls === 0 && unacknowledged === 0
      ? tone("warn", "does not consume")
      : "",
  ]);
  return renderTable(["EVENTS FROM", "TYPE", "TO", "LAG", "UNACKNOWLEDGED", ""], rows);
}

function renderMessages(messages: BusReport["messages"]): string {
  const rows = messages.map(({ from, verb, to, deadlineMs, pending, outcomes }) => {
    const { answered = 0, ...others } = outcomes;
    const failed = Object.entries(others).map(([outcome, count]) => `${count} ${outcome}`);
    return [from, verb, to, `${deadlineMs / 1000} s`, pending, answered, tone("warn", failed.join(", "))];
  });
  return renderTable(["MESSAGES FROM", "VERB", "TO", "WITHIN", "PENDING", "ANSWERED", "NOT"], rows);
}

function renderInstruments(instruments: BusReport["instruments"], rates: readonly BusRate[]): string {
  const rows = instruments.map(({ name, connections, delivered, refused, published, throttledMs }) => {
    const rate = rates.find(({ instrument }) => instrument === name);
    const sent = Object.values(published).reduce((total, count) => total + count, 0);
    return [
      name,
      connections,
      sent,
      rate?.sentPerSecond ?? 0,
      delivered,
      rate?.deliveredPerSecond ?? 0,
      refused,
      Math.round(throttledMs),
    ];
  });
  return renderTable(
    ["INSTRUMENT", "CONNECTIONS", "SENT", "/S", "GIVEN", "/S", "REFUSED", "HELD BACK MS"],
    rows,
  );
}
