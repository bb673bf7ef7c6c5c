/**
 * API: what there is (`GET /v1/status`, `/v1/diff`, `/v1/findings`, `/v1/history`), and what operators
 * may order (`POST /v1/apply`, `/v1/rollback`, `/v1/accept-shrink`), answered before it is done. JSON;
 * errors are RFC 9457 problems.
 *
 * Who asks, and with which role, the platform says in headers that no caller can set.
 */
import { sendJson, type UiHandler, type UiRequest, type UiResponse } from "@bulkhead/sdk";
import type { Manager, Order } from "./manager.ts";
import { problemCode } from "./problem-code.ts";
import type { Rollout } from "./store/rollout.ts";
import type { Store } from "./store/store.ts";

const USER_HEADER = "bulkhead-user";
const ROLE_HEADER = "bulkhead-role";
const MAY_ORDER: ReadonlySet<string> = new Set(["operator", "admin"]);
const DEFAULT_LIMIT = 20;
const MOST_HISTORY = 200;

type Orders = Pick<Manager, "apply" | "rollBack" | "acceptShrink">;

export function ruleManagerApi(
  store: Pick<Store, "feeds" | "inForce" | "newestIn" | "rollout" | "rollouts">,
  manager: Orders & Pick<Manager, "candidateDiff" | "configurationVersion">,
): UiHandler {
  const reads: Readonly<Record<string, (response: UiResponse, query: URLSearchParams) => unknown>> = {
    "/": (response) => sendJson(response, 200, status(store, manager)),
    "/v1/status": (response) => sendJson(response, 200, status(store, manager)),
    "/v1/findings": (response, query) => {
      const rollout = chosen(store, query);
      if (rollout === null) return problem(response, 404, "there is no such rollout");
      const { id, state, reason, findings } = rollout;
      sendJson(response, 200, { rollout: id, state, reason, findings });
    },
    "/v1/diff": async (response, query) => {
      const rollout = chosen(store, query);
      if (rollout === null) return problem(response, 404, "there is no such rollout");
      const { id, state, counts } = rollout;
      // What is over has the difference that it made, cut to its beginning; a candidate the whole of what it would make.
      const diff = isCandidate(rollout) ? await manager.candidateDiff(rollout) : rollout.diff;
      sendJson(response, 200, { rollout: id, state, counts, ...diff });
    },
    "/v1/history": (response, query) => {
      const limit = Number(query.get("limit") ?? DEFAULT_LIMIT);
      if (!Number.isInteger(limit) || limit < 1 || limit > MOST_HISTORY) {
        return problem(response, 400, `limit must be a number from 1 to ${MOST_HISTORY}`);
      }
      sendJson(response, 200, { rollouts: store.rollouts(limit).map(summary) });
    },
  };
  const orders: Readonly<Record<string, (who: string) => Promise<Order>>> = {
    "/v1/apply": (who) => manager.apply(who),
    "/v1/rollback": (who) => manager.rollBack(who),
    "/v1/accept-shrink": (who) => manager.acceptShrink(who),
  };
  return async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://instrument");
    const read = Object.hasOwn(reads, pathname) ? reads[pathname] : undefined;
    const order = Object.hasOwn(orders, pathname) ? orders[pathname] : undefined;
    if (read !== undefined && request.method === "GET") return void (await read(response, searchParams));
    if (order !== undefined && request.method === "POST") return carryOut(request, response, order);
    if (read !== undefined || order !== undefined) {
      return problem(response, 405, `${pathname} is for ${order === undefined ? "GET" : "POST"}`);
    }
    return problem(response, 404, `there are ${[...Object.keys(reads), ...Object.keys(orders)].join(", ")}`);
  };
}

async function carryOut(
  { headers }: UiRequest,
  response: UiResponse,
  order: (who: string) => Promise<Order>,
): Promise<void> {
  const [user, role] = [headers[USER_HEADER], headers[ROLE_HEADER]];
  if (typeof user !== "string" || typeof role !== "string" || !MAY_ORDER.has(role)) {
    return problem(response, 403, "this is for operators and admins");
  }
  const made = await order(user);
  if (made.outcome === "nothing") return problem(response, 409, made.detail);
  sendJson(response, 202, made);
}

function status(
  store: Pick<Store, "feeds" | "inForce" | "newestIn" | "rollouts">,
  manager: Pick<Manager, "configurationVersion">,
) {
  const current = store.newestIn("applied");
  const [newest] = store.rollouts(1);
  return {
    settings: manager.configurationVersion,
    sources: store.feeds(),
    current: current === null ? null : summary(current),
    candidate: newest === undefined || !isCandidate(newest) ? null : summary(newest),
    inForce: store.inForce(),
  };
}

/** Without its lists. */
function summary(rollout: Rollout) {
  return { ...rollout, diff: undefined, findings: rollout.findings.length };
}

/** Neither in force nor overtaken. */
function isCandidate({ state }: Rollout): boolean {
  return state !== "applied" && state !== "superseded" && state !== "withdrawn";
}

/** `rollout=N`, else the newest. */
function chosen(store: Pick<Store, "rollout" | "rollouts">, query: URLSearchParams): Rollout | null {
  const id = query.get("rollout");
  return id === null ? (store.rollouts(1)[0] ?? null) : store.rollout(Number(id));
}

function problem(response: UiResponse, status: number, detail: string): void {
  response.writeHead(status, { "content-type": "application/problem+json; charset=utf-8" });
  const code = problemCode(status);
  response.end(JSON.stringify({ type: "about:blank", title: "Rule Manager", status, detail, code }));
}
