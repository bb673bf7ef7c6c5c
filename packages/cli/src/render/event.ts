/** One event on one line: when, who, what; and the record's own words where its kind is known. */
import type { EventRecord } from "@bulkhead/schema";
import { tone } from "../output.ts";

export function renderEvent(event: EventRecord): string {
  const time = event.time.slice(11, 19);
  const alert = event.type === "suricata.alert";
  const words = summaryOf(event);
  return `${tone("dim", time)}  ${event.instrument}  ${tone(alert ? "bad" : "bold", event.type)}  ${words}`;
}

function summaryOf({ type, data }: EventRecord): string {
  const at = (...path: readonly string[]): string => {
    const value = path.reduce<unknown>(
      (v, key) => (typeof v === "object" && v !== null ? Reflect.get(v, key) : undefined),
      data,
    );
    return typeof value === "string" || typeof value === "number" ? String(value) : "";
  };
  const ends = `${at("src_ip")} → ${at("dest_ip")}${at("dest_port") === "" ? "" : `:${at("dest_port")}`}`;
  switch (type) {
    case "suricata.alert":
      return `${at("alert", "signature")}  ${ends}`;
    case "suricata.dns":
      return `${at("dns", "type")} ${at("dns", "rrname")} ${at("dns", "rrtype")}  ${ends}`;
    case "suricata.http":
      return `${at("http", "http_method")} ${at("http", "hostname")}${at("http", "url")}  ${ends}`;
    case "suricata.tls":
      return `${at("tls", "sni")} ${at("tls", "version")}  ${ends}`;
    default:
      return JSON.stringify(data).slice(0, 120);
  }
}
