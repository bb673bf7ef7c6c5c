/**
 * API server: the routes of API_ROUTES on one listener, and nothing else.
 *
 * Invariants: a call is let in by role before its body is read and before anything acts; requests
 * and replies are checked against the contract; every failure is an RFC 9457 problem. Which
 * listener it is (the local socket now, the fleet's tunnel later) is told by the caller resolver.
 */
import swagger from "@fastify/swagger";
import { API_ROUTES, type ApiRoute, type Caller, Problem } from "@bulkhead/schema";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { jsonSchemaTransform, serializerCompiler, validatorCompiler } from "fastify-type-provider-zod";
import { describeError, type Log } from "../log.ts";
import { type CallerResolver, mayCall } from "./authorize.ts";
import { API_CONTRACT, type ApiCall, type ApiHandlers, type RouteShape } from "./contract.ts";
import { sendLines } from "./send-lines.ts";
import { ProblemError, problemOf } from "./problem.ts";

const PROBLEM_TYPE = "application/problem+json";
const LARGE_BODY_BYTES = 4 * 1024 * 1024;
const SMALL_BODY_BYTES = 1024;
/** What passes to an instrument's UI beside the table's GET. */
const UI_METHODS = ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const;

export interface ApiServerOptions {
  readonly handlers: ApiHandlers;
  readonly resolveCaller: CallerResolver;
  readonly log: Log;
  /** Told of each call that was turned away for its role. */
  readonly onDenied: (caller: Caller, route: ApiRoute) => void;
}

declare module "fastify" {
  interface FastifyRequest {
    bulkheadCaller: Caller | null;
  }
}

/** Ready to listen; the caller chooses where. */
export async function makeApiServer(options: ApiServerOptions): Promise<FastifyInstance> {
  const server = Fastify({
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    bodyLimit: SMALL_BODY_BYTES,
    routerOptions: { maxParamLength: 8192 },
    frameworkErrors: (error, _request, reply) => void sendProblem(reply, error, options.log),
  });
  server.setValidatorCompiler(validatorCompiler);
  server.setSerializerCompiler(serializerCompiler);
  server.decorateRequest("bulkheadCaller", null);
  server.setErrorHandler((error, _request, reply) => sendProblem(reply, error, options.log));
  server.setNotFoundHandler((_request, reply) =>
    sendProblem(reply, new ProblemError("route-unknown", "there is no such route"), options.log),
  );
  await server.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "Bulkhead sensor API", version: "1" },
    },
    transform: jsonSchemaTransform,
  });
  for (const route of Object.keys(API_ROUTES) as ApiRoute[]) addRoute(server, route, options);
  await server.register(async (scope) => {
    // Nobody on the way reads a body that is for an instrument: it is streamed on.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", (_request, _payload, done) => done(null));
    addRoute(scope, "ui", options, UI_METHODS);
  });
  await server.ready();
  return server;
}

/** @param methods in place of the table's own; these are not described in the OpenAPI document again */
function addRoute(
  server: FastifyInstance,
  route: ApiRoute,
  options: ApiServerOptions,
  methods?: readonly string[],
): void {
  const { method, path, role } = API_ROUTES[route];
  const shape: RouteShape = API_CONTRACT[route];
  // The table types each handler by its own route; here they are all called alike.
  const handler = options.handlers[route] as (call: ApiCall) => unknown;
  server.route({
    method: methods === undefined ? method : [...methods],
    url: path.replaceAll(/\{(\w+)\}/g, ":$1"),
    bodyLimit: route === "plan" ? LARGE_BODY_BYTES : SMALL_BODY_BYTES,
    schema: {
      hide: methods !== undefined,
      operationId: route,
      summary: `Least role: ${role}`,
      params: shape.params,
      querystring: shape.query,
      ...(method === "POST" ? { body: shape.body } : {}),
      ...(shape.kind === "json" ? { response: { 200: shape.reply, default: Problem } } : {}),
    },
    onRequest: async (request) => {
      request.bulkheadCaller = admit(request, route, options);
    },
    handler: async (request, reply) => {
      const call = callOf(request, reply);
      const answer = handler(call);
      if (shape.kind === "json") return await answer;
      if (shape.kind === "lines") {
        // The handler of such a route answers an iterable: see ApiAnswer.
        return await sendLines(answer as AsyncIterable<unknown>, reply, call.signal, options.log);
      }
      await answer;
      // The response is on its way or over; nothing is left for the framework to send.
      return reply.hijack();
    },
  });
}

function admit(request: FastifyRequest, route: ApiRoute, options: ApiServerOptions): Caller {
  const caller = options.resolveCaller(request.raw);
  if (caller === null) throw new ProblemError("caller-unknown", "nobody vouches for this caller");
  const { role } = API_ROUTES[route];
  if (mayCall(caller, role)) return caller;
  options.onDenied(caller, route);
  throw new ProblemError("not-permitted", `${route} needs the role ${role}; yours is ${caller.role}`);
}

function callOf(request: FastifyRequest, reply: FastifyReply): ApiCall {
  const caller = request.bulkheadCaller;
  if (caller === null) throw new ProblemError("caller-unknown", "nobody vouches for this caller");
  const gone = new AbortController();
  reply.raw.once("close", () => gone.abort());
  return {
    caller,
    params: request.params,
    query: request.query,
    body: request.body,
    signal: gone.signal,
    exchange: { request: request.raw, response: reply.raw },
  };
}

async function sendProblem(reply: FastifyReply, error: unknown, log: Log): Promise<FastifyReply> {
  const problem = problemOf(error);
  if (problem.status >= 500) log.warn("a call failed", { ...describeError(error), code: problem.code });
  return reply
    .code(problem.status)
    .header("content-type", PROBLEM_TYPE)
    .serializer((body: unknown) => JSON.stringify(body))
    .send(problem);
}
