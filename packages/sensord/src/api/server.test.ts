import assert from "node:assert/strict";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { API_ROUTES, type ApiRoute, type Caller, Problem, Role } from "@bulkhead/schema";
import type { FastifyInstance } from "fastify";
import { SensordError } from "../error.ts";
import { SILENT } from "../log.ts";
import { type ApiHandlers } from "./contract.ts";
import { mayOpenUi } from "./authorize.ts";
import { ProblemError } from "./problem.ts";
import { makeApiServer } from "./server.ts";

const STATUS = {
  sensor: null,
  siteVersion: null,
  ok: false,
  instruments: [],
  taps: [],
  problems: [],
  pending: [],
  absent: [],
  processes: [],
};

/** Handlers that note that they were reached; a test replaces those that it looks at. */
function handlersFor(reached: ApiRoute[], own: Partial<ApiHandlers> = {}): ApiHandlers {
  const note = (route: ApiRoute): void => void reached.push(route);
  const fail = (route: ApiRoute) => async () => {
    note(route);
    throw new ProblemError("site-absent", "no site");
  };
  return {
    status: async () => {
      note("status");
      return STATUS;
    },
    network: async () => {
      note("network");
      return { instruments: [] };
    },
    egress: async () => {
      note("egress");
      return { interface: null, permits: [] };
    },
    bus: fail("bus"),
    resources: fail("resources"),
    messages: () => {
      note("messages");
      return none();
    },
    taps: async () => {
      note("taps");
      return [];
    },
    plan: fail("plan"),
    apply: fail("apply"),
    explain: fail("explain"),
    start: fail("start"),
    stop: fail("stop"),
    restart: fail("restart"),
    auditEntry: fail("auditEntry"),
    retention: fail("retention"),
    retentionErase: fail("retentionErase"),
    retentionClock: fail("retentionClock"),
    audit: () => {
      note("audit");
      return none();
    },
    logs: () => {
      note("logs");
      return none();
    },
    events: () => {
      note("events");
      return none();
    },
    ui: async ({ exchange }) => {
      note("ui");
      exchange.response.writeHead(204).end();
    },
    openapi: async () => {
      note("openapi");
      return { openapi: "3.1.0" };
    },
    ...own,
  };
}

async function* none(): AsyncGenerator<never> {}

interface ServerOptions {
  readonly caller?: Caller | null;
  readonly own?: Partial<ApiHandlers>;
  readonly denied?: ApiRoute[];
}

async function serve({ caller, own, denied = [] }: ServerOptions, reached: ApiRoute[] = []) {
  const admin: Caller = { subject: "local:root", role: "admin" };
  return makeApiServer({
    handlers: handlersFor(reached, own),
    resolveCaller: () => (caller === undefined ? admin : caller),
    onDenied: (_caller, route) => denied.push(route),
    log: SILENT,
  });
}

function callOf(route: ApiRoute) {
  const { method, path } = API_ROUTES[route];
  const url = path.replace("{instrument}", "ids").replace("{seq}", "7").replace("*", "v1/lookup?q=x");
  const payload = route === "plan" ? { file: "site.yaml", text: "", files: [] } : {};
  return method === "POST" ? { method, url, payload } : { method, url };
}

/** The whole table: who may call what. Written out, so that a change of a route's role is seen. */
const ALLOWED: Readonly<Record<ApiRoute, readonly Role[]>> = {
  status: ["viewer", "analyst", "operator", "admin"],
  taps: ["viewer", "analyst", "operator", "admin"],
  bus: ["viewer", "analyst", "operator", "admin"],
  resources: ["viewer", "analyst", "operator", "admin"],
  messages: ["analyst", "operator", "admin"],
  network: ["viewer", "analyst", "operator", "admin"],
  egress: ["viewer", "analyst", "operator", "admin"],
  explain: ["viewer", "analyst", "operator", "admin"],
  openapi: ["viewer", "analyst", "operator", "admin"],
  events: ["analyst", "operator", "admin"],
  ui: ["analyst", "operator", "admin"],
  plan: ["operator", "admin"],
  start: ["operator", "admin"],
  stop: ["operator", "admin"],
  restart: ["operator", "admin"],
  logs: ["operator", "admin"],
  apply: ["admin"],
  audit: ["admin"],
  auditEntry: ["admin"],
  retention: ["viewer", "analyst", "operator", "admin"],
  retentionErase: ["admin"],
  retentionClock: ["admin"],
};

for (const role of Role.options) {
  test(`API: what ${role} may call, and nothing else acts`, async () => {
    const reached: ApiRoute[] = [];
    const denied: ApiRoute[] = [];
    const server = await serve({ caller: { subject: "person:p", role }, denied }, reached);
    for (const route of Object.keys(API_ROUTES) as ApiRoute[]) {
      reached.length = 0;
      denied.length = 0;
      const answer = await server.inject(callOf(route));
      const allowed = ALLOWED[route].includes(role);
      assert.deepEqual(reached, allowed ? [route] : [], `${role} ${route}`);
      assert.deepEqual(denied, allowed ? [] : [route], `${role} ${route}`);
      assert.equal(answer.statusCode === 403, !allowed, `${role} ${route}: ${answer.statusCode}`);
      if (!allowed) assert.equal(Problem.parse(answer.json()).code, "not-permitted");
    }
    await server.close();
  });
}

test("API: what somebody sends to a UI passes unread, whatever it is, and only from who may", async () => {
  const reached: ApiRoute[] = [];
  const bodies: string[] = [];
  const own: Partial<ApiHandlers> = {
    ui: async ({ exchange: { request, response } }) => {
      bodies.push(`${request.method} ${await text(request)}`);
      response.writeHead(204).end();
    },
  };
  const url = "/api/v1/instruments/ids/ui/v1/apply";
  const sends = (server: FastifyInstance, type: string, payload: string) =>
    server.inject({ method: "POST", url, headers: { "content-type": type }, payload });
  const server = await serve({ own });
  assert.equal((await sends(server, "application/json", "{ not json")).statusCode, 204);
  assert.equal((await sends(server, "application/octet-stream", "x".repeat(5000))).statusCode, 204);
  assert.equal((await server.inject({ method: "DELETE", url })).statusCode, 204);
  assert.deepEqual(bodies, ["POST { not json", `POST ${"x".repeat(5000)}`, "DELETE "]);
  await server.close();
  const denied: ApiRoute[] = [];
  const viewer = await serve({ caller: { subject: "person:p", role: "viewer" }, denied }, reached);
  assert.equal((await sends(viewer, "application/json", "{}")).statusCode, 403);
  assert.deepEqual([reached, denied], [[], ["ui"]]);
  await viewer.close();
});

test("API: a caller for whom nobody vouches gets nowhere, whatever it sends", async () => {
  const reached: ApiRoute[] = [];
  const server = await serve({ caller: null }, reached);
  for (const route of Object.keys(API_ROUTES) as ApiRoute[]) {
    const answer = await server.inject(callOf(route));
    assert.equal(answer.statusCode, 401, route);
    assert.equal(Problem.parse(answer.json()).code, "caller-unknown");
  }
  assert.deepEqual(reached, []);
  await server.close();
});

test("API: requests are strict, and each refusal is a problem", async () => {
  const server = await serve({});
  const cases = [
    { url: "/api/v1/status?x=1", method: "GET", status: 400, code: "request-invalid" },
    { url: "/api/v1/events?limit=0", method: "GET", status: 400, code: "request-invalid" },
    { url: "/api/v1/events?instrument=A*", method: "GET", status: 400, code: "request-invalid" },
    { url: "/api/v1/events?since=yesterday", method: "GET", status: 400, code: "request-invalid" },
    { url: "/api/v1/instruments/..%2fx/explain", method: "GET", status: 400, code: "request-invalid" },
    { url: "/api/v1/instruments/%E0%A4%A/explain", method: "GET", status: 400, code: "request-invalid" },
    { url: "/api/v1/nothing", method: "GET", status: 404, code: "route-unknown" },
    { url: "/api/v1/site/apply", method: "GET", status: 404, code: "route-unknown" },
    { url: "/api/v1/status", method: "HEAD", status: 404, code: "route-unknown" },
    {
      url: "/api/v1/site/apply",
      method: "POST",
      payload: { force: true },
      status: 400,
      code: "request-invalid",
    },
    {
      url: "/api/v1/site/plan",
      method: "POST",
      payload: { file: "x" },
      status: 400,
      code: "request-invalid",
    },
    {
      url: "/api/v1/site/apply",
      method: "POST",
      payload: { pad: "x".repeat(5000) },
      status: 413,
      code: "request-too-large",
    },
    {
      url: "/api/v1/site/plan",
      method: "POST",
      payload: { file: "x", text: "x".repeat(5 * 1024 * 1024), files: [] },
      status: 413,
      code: "request-too-large",
    },
  ] as const;
  for (const { status, code, ...call } of cases) {
    const answer = await server.inject(call);
    assert.equal(answer.statusCode, status, `${call.method} ${call.url}: ${answer.body}`);
    if (call.method === "HEAD") continue;
    assert.match(String(answer.headers["content-type"]), /^application\/problem\+json/);
    const problem = Problem.parse(answer.json());
    assert.deepEqual([problem.code, problem.status], [code, status]);
  }
  await server.close();
});

test("API: a plan's text may be as large as the schema says, escaped", async () => {
  const server = await serve({});
  const payload = { file: "x", text: "\n".repeat(1024 * 1024), files: [] };
  const answer = await server.inject({ method: "POST", url: "/api/v1/site/plan", payload });
  assert.equal(Problem.parse(answer.json()).code, "site-absent");
  await server.close();
});

test("API: an unexpected failure tells nothing of itself", async () => {
  const own = {
    status: async () => {
      throw new Error("password is hunter2");
    },
  };
  const server = await serve({ own });
  const answer = await server.inject("/api/v1/status");
  assert.equal(answer.statusCode, 500);
  assert.ok(!answer.body.includes("hunter2"));
  await server.close();
});

test("API: a reply that does not fit the contract is not sent", async () => {
  const own = { status: async () => ({ ...STATUS, secret: 1 }) };
  const server = await serve({ own });
  const answer = await server.inject("/api/v1/status");
  assert.equal(answer.statusCode, 500);
  assert.ok(!answer.body.includes("secret"));
  await server.close();
});

test("API: warden's refusals keep their code and status", async () => {
  const refuse = async (): Promise<never> => {
    throw new SensordError("warden-refused", "it is down", { fields: { verb: "start", status: 409 } });
  };
  const server = await serve({ own: { start: refuse } });
  const answer = await server.inject({ method: "POST", url: "/api/v1/instruments/ids/start" });
  assert.deepEqual([answer.statusCode, Problem.parse(answer.json()).code], [409, "warden-refused"]);
  await server.close();
});

test("API: its OpenAPI document has exactly the routes of the table", async () => {
  const server = await serve({});
  const document = server.swagger();
  assert.ok("openapi" in document);
  assert.equal(document.openapi, "3.1.0");
  const found = Object.entries(document.paths ?? {}).flatMap(([path, methods]) =>
    Object.keys(methods ?? {}).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const wanted = Object.values(API_ROUTES).map(
    ({ method, path }) => `${method} ${path.replace("/*", "/{*}")}`,
  );
  assert.deepEqual(found.toSorted(), wanted.toSorted());
  const events = document.paths?.["/api/v1/events"]?.get;
  const names = (events?.parameters ?? []).map((p) => ("name" in p ? p.name : ""));
  assert.deepEqual(names.toSorted(), ["follow", "instrument", "limit", "since", "type"]);
  assert.equal(events?.operationId, "events");
  await server.close();
});

test("UI grant: who ranks above a listed role may do what it may, and nobody below", () => {
  const may = (role: Role, roles: readonly Role[]) => mayOpenUi({ subject: "x", role }, roles);
  assert.deepEqual(
    Role.options.map((role) => may(role, ["operator"])),
    [false, false, true, true],
  );
  assert.equal(may("admin", []), false);
});
