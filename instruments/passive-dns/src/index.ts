/** What tests and tools may use of this instrument; its process begins in main.ts. */
export * from "./api.ts";
export * from "./dns-record.ts";
export { Settings } from "./settings.ts";
export * from "./store.ts";
export { type Sighting } from "./watch/watch.ts";
