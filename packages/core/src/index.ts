/** Pure decisions: parsing, checking, planning, explaining. No I/O, clock, randomness or environment. */
export * from "./backoff.ts";
export * from "./bus-permissions.ts";
export * from "./canonical.ts";
export * from "./catalogue-package.ts";
export * from "./config-command.ts";
export * from "./desired.ts";
export * from "./explain.ts";
export * from "./flows.ts";
export * from "./needs.ts";
export * from "./parse.ts";
export * from "./plan.ts";
export * from "./resolve.ts";
export * from "./steps.ts";
