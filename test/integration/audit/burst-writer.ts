/** A process that appends to an audit log as fast as it can, and says what was acknowledged; to be killed. */
import { createPrivateKey } from "node:crypto";
import { writeSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { AuditLog } from "../../../packages/warden/src/audit/audit-log.ts";
import { sensorKeyOf } from "../../../packages/warden/src/sensor-key.ts";

const [dir = "", keyFile = "", name = ""] = process.argv.slice(2);
const log = new AuditLog({
  dir,
  key: sensorKeyOf(createPrivateKey(await readFile(keyFile, "utf8"))),
  limits: { segmentBytes: 20_000, keepBytes: 2_000_000, sensordShare: 0.5 },
});
await log.attach();
for (let i = 0; ; i += 10) {
  const burst = Array.from({ length: 10 }, async (_, n) => {
    await log.writer("warden").append("step", `${name}-${i + n}`, { text: "x".repeat(100) });
    writeSync(1, `${name}-${i + n}\n`);
  });
  await Promise.all(burst);
}
