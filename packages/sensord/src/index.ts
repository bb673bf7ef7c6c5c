/** sensord: the unprivileged side of a sensor. The process is main.ts; this is for who embeds it. */
export { isSensordError, SensordError, type SensordErrorCode } from "./error.ts";
export { makeLog, type Log } from "./log.ts";
export { type SensordOptions, startSensord } from "./sensord.ts";
