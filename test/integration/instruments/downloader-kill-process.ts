/**
 * Takes a content as a source's new version, and ends itself without notice before the step of the given number.
 *
 * Arguments: the stores' directory, a file with the content, the number of the step.
 */
import { copyFile } from "node:fs/promises";
import { digestFile, Settings, SourceStore, takeContent } from "@bulkhead/instrument-downloader";

const [root = "", content = "", dieBefore = ""] = process.argv.slice(2);
let step = 0;
const store = await SourceStore.open(root, "feed", () => {
  if (step === Number(dieBefore)) process.kill(process.pid, "SIGKILL");
  step += 1;
});
const as = { type: "ruleset.feed", name: "feed" };
const { sources } = Settings.parse({
  sources: [{ name: "feed", url: "https://feed.example.net/feed", as, verify: "none" }],
});
const [source] = sources;
if (source === undefined) throw new Error("there is one source");
await copyFile(content, store.bodyPath);
await takeContent(store, source, {
  file: store.bodyPath,
  digests: await digestFile(store.bodyPath),
  origin: "network",
  verified: { by: "none", signedAtMs: null },
  validators: null,
  mediaType: null,
  nowMs: Date.now(),
});
