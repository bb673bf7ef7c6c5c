/** query passive-dns: asks the passive DNS instrument's own API, through the sensor's door to it. */
import { API_ROUTES, SensorStatus } from "@bulkhead/schema";
import type { Command } from "commander";
import * as z from "zod";
import { command, type Context, contextOf } from "../command.ts";
import { CliError } from "../error.ts";
import { renderTable } from "../render/table.ts";

/** Passive DNS Common Output Format, draft-dulaunoy-dnsop-passive-dns-cof, section 3. Times are seconds. */
export const DnsRecord = z.looseObject({
  rrname: z.string(),
  rrtype: z.string(),
  rdata: z.union([z.string(), z.array(z.string())]),
  time_first: z.int(),
  time_last: z.int(),
  count: z.int(),
});
export type DnsRecord = z.infer<typeof DnsRecord>;

export function queryCommand(): Command {
  return command("query <package> <what>", "ask an instrument: query passive-dns NAME|IP", [
    "sudo bulkhead query passive-dns www.corp.example",
    "sudo bulkhead query passive-dns 192.0.2.10 --json",
  ]).action(async (packageName: string, what: string, options) => {
    const context = contextOf(options);
    if (packageName !== "passive-dns") {
      throw new CliError("unknown-query", `${packageName} cannot be asked; accepted: passive-dns`, {
        exitCode: 2,
      });
    }
    const records: DnsRecord[] = [];
    for await (const record of askPassiveDns(context, `v1/lookup?q=${encodeURIComponent(what)}`))
      records.push(record);
    if (context.output.json) for (const record of records) context.output.record(record, () => "");
    else context.output.result(records, () => renderRecords(what, records));
  });
}

/** @throws CliError `no-such-instrument` where the site runs none. */
export async function* askPassiveDns({ api, signal }: Context, path: string): AsyncGenerator<DnsRecord> {
  const { instruments } = await api.get(API_ROUTES.status.path, SensorStatus);
  const instrument = instruments.find((i) => i.package === "passive-dns");
  if (instrument === undefined) {
    throw new CliError("no-such-instrument", "the site runs no passive-dns", {
      advice: "add an instrument with package: passive-dns",
    });
  }
  yield* api.lines(uiPath(instrument.name, path), DnsRecord, {}, signal);
}

export function uiPath(instrument: string, path: string): string {
  return API_ROUTES.ui.path.replace("{instrument}", instrument).replace("*", path);
}

function renderRecords(what: string, records: readonly DnsRecord[]): string {
  if (records.length === 0) return `Nothing was seen of ${what}.`;
  const time = (seconds: number) => new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ");
  return renderTable(
    ["NAME", "TYPE", "DATA", "FIRST SEEN (UTC)", "LAST SEEN (UTC)", "COUNT"],
    records.map((r) => [
      r.rrname,
      r.rrtype,
      Array.isArray(r.rdata) ? r.rdata.join(" ") : r.rdata,
      time(r.time_first),
      time(r.time_last),
      r.count,
    ]),
  );
}
