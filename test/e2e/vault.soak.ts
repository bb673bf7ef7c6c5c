/**
 * A sensor whose vault waits for a passphrase, from its first start on: what it says and does while locked, that
 * everything comes back once it is open, and that a back-up moves to another installation by its recovery phrase.
 */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { backup, down, type Progress, purge, restore, setup, up } from "@bulkhead/host";
import {
  API_ROUTES,
  ApplyReply,
  installationLayout,
  SensorStatus,
  VaultState,
  VaultStatus,
} from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";
import { ApiClient } from "../../packages/cli/src/api-client.ts";
import { CliError } from "../../packages/cli/src/error.ts";
import { stageSite } from "../../packages/cli/src/stage-site.ts";
import { askWarden } from "../../packages/cli/src/warden-client.ts";
import { ASKED_RUNTIME } from "../runtime.ts";

const [FIRST, SECOND] = ["e2e-vault", "e2e-vault-2"];
const PASSPHRASE = "correct horse battery staple";
const PACKAGES = ["hello", "passive-dns"];
const SITE = `apiVersion: bulkhead/v1
sensor: vaulted
instruments:
  hello: { package: hello }
  pdns: { package: passive-dns, storage: { db: 64MiB } }
`;
const quiet: Progress = () => undefined;

function sensor(name: string) {
  const layout = installationLayout(name);
  const api = new ApiClient(layout);
  const status = () => api.get(API_ROUTES.status.path, SensorStatus);
  /** What each instrument is, once it is as meant; a sensord that is away is waited for. */
  const until = (what: string, is: (status: SensorStatus) => boolean) =>
    eventually(
      () => what,
      async () => {
        try {
          const found = await status();
          return is(found) ? found : null;
        } catch (error) {
          if (error instanceof CliError) return null;
          throw error;
        }
      },
      240_000,
    );
  return { layout, api, until };
}

const stateOf = (status: SensorStatus, name: string) =>
  status.instruments.find((i) => i.name === name)?.state;

test("a vault that waits for a passphrase, and its move to another installation", async () => {
  await using stack = new AsyncDisposableStack();
  for (const installation of [FIRST, SECOND]) {
    await purge({ installation }, quiet);
    stack.defer(async () => void (await purge({ installation }, quiet)));
  }
  const dir = await mkdtemp(join(tmpdir(), "bulkhead-vault-"));
  stack.defer(() => rm(dir, { recursive: true }));
  const { layout, api, until } = sensor(FIRST);
  let phrase = "";
  const common = { runtime: ASKED_RUNTIME, packages: PACKAGES, platformBytes: 256 * 2 ** 20 };
  const vault = { method: "passphrase", passphrase: PASSPHRASE } as const;
  const onRecoveryPhrase = (words: string): void => void (phrase = words);
  await setup({ ...common, installation: FIRST, vault, onRecoveryPhrase }, quiet);
  assert.equal(phrase.split(" ").length, 24);

  await up({ installation: FIRST }, quiet);
  await until("it says that it is locked", ({ problems }) =>
    problems.some(({ code }) => code === "vault-locked"),
  );
  await assert.rejects(stat(layout.platformDir), { code: "ENOENT" });
  await assert.rejects(api.post(API_ROUTES.apply.path, ApplyReply), { code: "vault-locked" });
  const unlock = (passphrase: string) =>
    askWarden(layout, "vaultUnlock", VaultState, { with: "passphrase", passphrase });
  await assert.rejects(unlock("wrong"), { code: "vault-passphrase-wrong" });
  assert.equal((await unlock(PASSPHRASE)).state, "unlocked");

  await until("the broker is up", ({ processes }) => processes.every(({ state }) => state === "up"));
  const file = join(dir, "site.yaml");
  await writeFile(file, SITE);
  await stageSite(file, [], layout);
  await api.post(API_ROUTES.apply.path, ApplyReply);
  await until("both run", (s) => ["hello", "pdns"].every((name) => stateOf(s, name) === "running"));

  await down({ installation: FIRST }, quiet);
  const mounts = await readFile("/proc/self/mountinfo", "utf8");
  assert.equal(mounts.includes(`${layout.mountsDir}/`), false, "every volume is closed");
  await up({ installation: FIRST }, quiet);
  await until("what keeps data waits, and what keeps none runs", (s) => stateOf(s, "pdns") === "locked");
  const locked = await askWarden(layout, "vault", VaultStatus);
  assert.deepEqual(
    locked.volumes.map(({ instrument, key }) => [instrument, key]),
    [
      ["platform", "absent"],
      ["pdns", "absent"],
    ],
  );
  await unlock(PASSPHRASE);
  await until("both run again", (s) => ["hello", "pdns"].every((name) => stateOf(s, name) === "running"));

  const saved = join(dir, "saved");
  const chosen = { installation: FIRST, file: saved, volumes: ["pdns/db"] };
  await assert.rejects(backup(chosen, quiet), { code: "host-backup-in-use" });
  await down({ installation: FIRST }, quiet);
  const { imagesFile } = await backup(chosen, quiet);
  assert.ok(imagesFile !== null);
  assert.equal((await readFile(imagesFile)).includes("ciphertext"), false, "no key lies with the images");

  await setup({ ...common, installation: SECOND }, quiet);
  const moved = { installation: SECOND, file: saved, imagesFile, vault: { method: "file" } } as const;
  await assert.rejects(restore({ ...moved, phrase: phrase.split(" ").toReversed().join(" ") }, quiet), {
    code: "host-vault-refused",
  });
  await restore({ ...moved, phrase }, quiet);
  await up({ installation: SECOND }, quiet);
  const second = sensor(SECOND);
  await second.until("the moved sensor runs", (s) => stateOf(s, "pdns") === "running");
  assert.equal((await askWarden(second.layout, "vault", VaultStatus)).state, "unlocked");
});
