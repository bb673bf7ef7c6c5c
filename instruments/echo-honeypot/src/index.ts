/** What tests and tools may use of this instrument; its process begins in main.ts. */
export { Settings } from "./settings.ts";
