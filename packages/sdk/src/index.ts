/** What an instrument's agent is built from: bus, events, configuration, tools, UI, retention. */
export * from "./bus.ts";
export * from "./child.ts";
export * from "./config.ts";
export * from "./consumer.ts";
export { type EgressRequest, requestThroughEgress } from "./egress.ts";
export * from "./environment.ts";
export * from "./error.ts";
export * from "./health.ts";
export * from "./instrument.ts";
export * from "./jitter.ts";
export * from "./line-source.ts";
export * from "./log.ts";
export * from "./publish-port.ts";
export * from "./publisher.ts";
export * from "./retention.ts";
export * from "./ruleset.ts";
export * from "./ui.ts";
export * from "./unix-transport.ts";
