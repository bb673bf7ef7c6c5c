/** Writes a signed report: FILE.json and FILE.html beside each other. */
import { createPrivateKey } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import type { InstallationLayout } from "@bulkhead/schema";
import { VerifyError } from "../error.ts";
import type { Proof } from "../run/result.ts";
import { wardenClient } from "../run/warden-client.ts";
import { hostFacts } from "./facts.ts";
import { makeReport, signFiles } from "./report.ts";

/**
 * @param file with or without its ending
 * @returns the files written
 * @throws VerifyError `verify-key-missing`, `verify-warden-unreachable`, `verify-report-unwritable`
 */
export async function writeReport(
  file: string,
  proof: Proof,
  place: { readonly layout: InstallationLayout; readonly bulkhead: string; readonly time: Date },
): Promise<readonly string[]> {
  const { layout, bulkhead, time } = place;
  const key = await readKey(layout.sensorKeyFile);
  const { observed } = await wardenClient(layout.rootSocket).state();
  const host = await hostFacts(observed.absent);
  const report = makeReport({ time: time.toISOString(), installation: layout.name, bulkhead, host, proof });
  const base = file.replace(/\.(html|json)$/, "");
  const files = [`${base}.json`, `${base}.html`] as const;
  const { json, html } = signFiles(report, key, basename(files[1]));
  try {
    await writeFile(files[0], json);
    await writeFile(files[1], html);
  } catch (cause) {
    throw new VerifyError("verify-report-unwritable", `${base}.json and .html cannot be written`, {
      advice: "give a file in a directory that exists",
      cause,
    });
  }
  return files;
}

async function readKey(file: string) {
  try {
    return createPrivateKey(await readFile(file, "utf8"));
  } catch (cause) {
    throw new VerifyError("verify-key-missing", `the sensor's key ${file} cannot be read`, {
      advice: "warden makes it when it starts: sudo ./bulkhead up",
      cause,
    });
  }
}
