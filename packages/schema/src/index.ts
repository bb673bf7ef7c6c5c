/** What crosses a boundary: names, manifest, site, plan, bus, APIs. Types are inferred from the zod schemas. */
export * from "./api.ts";
export * from "./bus-message.ts";
export * from "./envelope.ts";
export * from "./fault.ts";
export * from "./installation.ts";
export * from "./ledger.ts";
export * from "./manifest.ts";
export * from "./name.ts";
export * from "./observed.ts";
export * from "./plan.ts";
export * from "./quantity.ts";
export * from "./settings.ts";
export * from "./site.ts";
export * from "./spec.ts";
export * from "./subjects.ts";
export * from "./warden-api.ts";
