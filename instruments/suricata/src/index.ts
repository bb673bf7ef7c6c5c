/** What tests and tools may use of this instrument; its process begins in main.ts. */
export * from "./command-socket.ts";
export * from "./engine-log.ts";
export * from "./eve-record.ts";
export * from "./eve-types.ts";
export * from "./rule-manager.ts";
export { Settings } from "./settings.ts";
export * from "./suricata-yaml.ts";
