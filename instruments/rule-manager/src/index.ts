/** What tests and tools may use of this instrument; its process begins in main.ts. */
export * from "./build-sets.ts";
export * from "./feed/read-feed.ts";
export * from "./ruleset/diff.ts";
export * from "./ruleset/parse-file.ts";
export * from "./ruleset/render.ts";
export * from "./ruleset/rule.ts";
export * from "./ruleset/variables.ts";
export { Settings } from "./settings.ts";
