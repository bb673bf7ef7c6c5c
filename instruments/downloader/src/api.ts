/**
 * API: `GET /v1/sources` tells of all sources and imports, `GET /v1/sources/NAME` of one, `POST
 * /v1/sources/NAME/fetch` runs one at once. Errors are RFC 9457 problems.
 *
 * Who may open it was decided before a request comes here; whether that one may also run something, the role says.
 */
import { sendJson, type UiHandler, type UiResponse } from "@bulkhead/sdk";
import type { Downloader } from "./downloader.ts";

const ACTING_ROLES: readonly unknown[] = ["operator", "admin"];

export function downloaderApi(downloader: Pick<Downloader, "status" | "fetchNow">): UiHandler {
  return (request, response) => {
    const { pathname } = new URL(request.url, "http://instrument");
    if (pathname === "/" || pathname === "/v1/sources") {
      if (request.method !== "GET") return problem(response, 405, "only GET is answered here");
      return sendJson(response, 200, downloader.status);
    }
    const [, name = "", action] = /^\/v1\/sources\/([a-z0-9._-]+)(\/fetch)?$/.exec(pathname) ?? [];
    const find = () => downloader.status.sources.find((source) => source.name === name);
    const source = find();
    if (source === undefined) {
      return problem(response, 404, "there are /v1/sources, /v1/sources/NAME and /v1/sources/NAME/fetch");
    }
    if (action === undefined) {
      if (request.method !== "GET") return problem(response, 405, "only GET is answered here");
      return sendJson(response, 200, source);
    }
    if (request.method !== "POST") return problem(response, 405, "only POST is answered here");
    if (!ACTING_ROLES.includes(request.headers["bulkhead-role"])) {
      return problem(response, 403, "to fetch a source is an operator's");
    }
    downloader.fetchNow(name);
    return sendJson(response, 202, find());
  };
}

function problem(response: UiResponse, status: number, detail: string): void {
  response.writeHead(status, { "content-type": "application/problem+json; charset=utf-8" });
  response.end(JSON.stringify({ type: "about:blank", title: "Downloader", status, detail }));
}
