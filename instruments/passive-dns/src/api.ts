/**
 * API: `GET /v1/lookup?q=NAME|IP[&limit=N]` answers NDJSON in the Passive DNS Common Output Format,
 * `GET /v1/stats` how much there is, `GET /v1/watch` which watch lists are in force. Errors are RFC 9457 problems.
 *
 * It reads only; who may ask was decided before a request comes here.
 */
import { sendChunks, sendJson, type UiHandler, type UiRequest, type UiResponse } from "@bulkhead/sdk";
import { normaliseTerm } from "./dns-record.ts";
import type { CofRecord, Store } from "./store.ts";
import type { Watch } from "./watch/watch.ts";

const DEFAULT_LIMIT = 1_000;
const MAX_LIMIT = 100_000;
const MAX_TERM = 1_024;

export function passiveDnsApi(
  store: Pick<Store, "lookup" | "stats">,
  watch: Pick<Watch, "status">,
): UiHandler {
  return async (request, response) => {
    const url = new URL(request.url, "http://instrument");
    if (request.method !== "GET") return problem(response, 405, "only GET is answered here");
    if (url.pathname === "/v1/stats" || url.pathname === "/") return sendJson(response, 200, store.stats());
    if (url.pathname === "/v1/watch") return sendJson(response, 200, watch.status());
    if (url.pathname === "/v1/lookup") return lookup(store, request, response, url.searchParams);
    return problem(response, 404, "there are /v1/lookup?q=NAME|IP, /v1/stats and /v1/watch");
  };
}

async function lookup(
  store: Pick<Store, "lookup">,
  _request: UiRequest,
  response: UiResponse,
  query: URLSearchParams,
): Promise<void> {
  const term = normaliseTerm(query.get("q") ?? "");
  const limit = Number(query.get("limit") ?? DEFAULT_LIMIT);
  if (term === "" || term.length > MAX_TERM) {
    return problem(response, 400, "q must be a name or an address");
  }
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    return problem(response, 400, `limit must be a number from 1 to ${MAX_LIMIT}`);
  }
  const records = store.lookup(term, limit);
  response.writeHead(200, { "content-type": "application/x-ndjson; charset=utf-8" });
  await sendChunks(response, renderCof(records));
}

/** One JSON object a line, several lines a chunk. */
function* renderCof(records: readonly CofRecord[]): Generator<string> {
  const perChunk = 256;
  for (let start = 0; start < records.length; start += perChunk) {
    yield records
      .slice(start, start + perChunk)
      .map((record) => `${JSON.stringify(record)}\n`)
      .join("");
  }
}

function problem(response: UiResponse, status: number, detail: string): void {
  response.writeHead(status, { "content-type": "application/problem+json; charset=utf-8" });
  response.end(JSON.stringify({ type: "about:blank", title: "Passive DNS", status, detail }));
}
