/** What tests and tools may use of this instrument; its process begins in main.ts. */
export { downloaderApi } from "./api.ts";
export { Downloader, type DownloaderParts, type DownloaderStatus } from "./downloader.ts";
export { digestFile } from "./durable.ts";
export { MOST_BYTES, PUBLISHED_TYPES, Settings } from "./settings.ts";
export { SourceStore } from "./source-store.ts";
export { takeContent } from "./take-content.ts";
