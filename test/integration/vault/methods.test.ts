/**
 * What opens the vault: file, passphrase, TPM (a software one), recovery phrase; each changed for another without
 * touching data, and each refusing by name what it does not take.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { TpmPlace } from "@bulkhead/schema";
import { isWardenError, type WardenErrorCode } from "../../../packages/warden/src/error.ts";
import { Secret } from "../../../packages/warden/src/vault/secret.ts";
import { Vault } from "../../../packages/warden/src/vault/vault.ts";
import { commands, vaultParts } from "./vault-stand.ts";

const VOLUME = { instrument: "ids", id: "store" } as const;
const secret = (text: string): Secret => new Secret(Buffer.from(text));

async function place(stack: AsyncDisposableStack): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "bulkhead-vault-"));
  stack.defer(() => rm(dir, { recursive: true }));
  await mkdir(join(dir, "etc"));
  return dir;
}

const refused = (promise: Promise<unknown>, code: WardenErrorCode) =>
  assert.rejects(promise, (error) => isWardenError(error, code));

/** The volume's key, as whoever opens the vault gets it. */
async function keyBy(dir: string, open: (vault: Vault) => Promise<void>): Promise<Buffer> {
  const vault = await Vault.open(vaultParts(dir));
  await open(vault);
  return Buffer.from((await vault.keys.open(VOLUME)).bytes);
}

suite("what opens the vault", () => {
  test("a passphrase: the wrong one is refused by name, and the vault stays locked", async () => {
    await using stack = new AsyncDisposableStack();
    const dir = await place(stack);
    await Vault.create({ method: "passphrase", passphrase: secret("correct horse") }, vaultParts(dir));
    const vault = await Vault.open(vaultParts(dir));
    await vault.unlockUnattended();
    assert.equal(vault.state.problem?.code, "vault-passphrase-missing");
    await refused(vault.unlock(secret("wrong horse")), "vault-passphrase-wrong");
    assert.deepEqual([vault.state.state, vault.state.problem?.code], ["locked", "vault-passphrase-wrong"]);
    await refused(vault.keys.create(VOLUME), "volume-locked");
    await vault.unlock(secret("correct horse"));
    assert.equal(vault.state.state, "unlocked");
    await refused(Vault.create({ method: "file" }, vaultParts(dir)), "vault-exists");
  });

  test("each method is changed for another, and the same volume's key opens", async () => {
    await using stack = new AsyncDisposableStack();
    const dir = await place(stack);
    const phrase = await Vault.create({ method: "file" }, vaultParts(dir));
    const vault = await Vault.open(vaultParts(dir));
    await vault.unlock(null);
    const key = Buffer.from((await vault.keys.create(VOLUME)).bytes);
    assert.equal((await stat(vaultParts(dir).layout.vaultKeyFile)).mode & 0o777, 0o600);
    assert.deepEqual(await keyBy(dir, (v) => v.unlock(null)), key);
    assert.equal(await vault.rekey({ method: "passphrase", passphrase: secret("one") }, false), null);
    await assert.rejects(stat(vaultParts(dir).layout.vaultKeyFile), { code: "ENOENT" });
    assert.deepEqual(await keyBy(dir, (v) => v.unlock(secret("one"))), key);
    await vault.rekey({ method: "passphrase", passphrase: secret("two") }, false);
    await refused(
      keyBy(dir, (v) => v.unlock(secret("one"))),
      "vault-passphrase-wrong",
    );
    assert.deepEqual(await keyBy(dir, (v) => v.unlockByPhrase(phrase)), key);
    const fresh = await vault.rekey({ method: "file" }, true);
    await refused(
      keyBy(dir, (v) => v.unlockByPhrase(phrase)),
      "vault-phrase-wrong",
    );
    assert.deepEqual(await keyBy(dir, (v) => v.unlockByPhrase(fresh ?? "")), key);
    assert.deepEqual(await keyBy(dir, (v) => v.unlock(null)), key);
    await rm(vaultParts(dir).layout.vaultKeyFile);
    await refused(
      keyBy(dir, (v) => v.unlock(null)),
      "vault-key-file-missing",
    );
  });

  test("nothing in the vault's directory is the master key or a volume's", async () => {
    await using stack = new AsyncDisposableStack();
    const dir = await place(stack);
    await Vault.create({ method: "file" }, vaultParts(dir));
    const vault = await Vault.open(vaultParts(dir));
    await vault.unlock(null);
    const { bytes } = await vault.keys.create(VOLUME);
    const files = (await readdir(join(dir, "vault"), { recursive: true, withFileTypes: true })).filter((f) =>
      f.isFile(),
    );
    assert.equal(files.length, 2);
    for (const file of files) {
      const path = join(file.parentPath, file.name);
      assert.equal((await stat(path)).mode & 0o777, 0o600);
      const content = await readFile(path);
      for (const form of [bytes, bytes.toString("hex"), bytes.toString("base64")])
        assert.equal(content.includes(form), false);
    }
  });

  test("a TPM: it opens by itself, not after its registers changed, and not where there is none", async () => {
    await using stack = new AsyncDisposableStack();
    const dir = await place(stack);
    const tpm = await softwareTpm(stack, dir);
    const phrase = await Vault.create({ method: "tpm", tpm: tpm.place }, vaultParts(dir));
    const vault = await Vault.open(vaultParts(dir));
    await vault.unlockUnattended();
    assert.equal(vault.state.state, "unlocked");
    const key = Buffer.from((await vault.keys.create(VOLUME)).bytes);
    assert.deepEqual(await keyBy(dir, (v) => v.unlock(null)), key);

    const change = ["tpm2_pcrextend", "-T", tpm.place.tcti, `7:sha256=${"01".repeat(32)}`];
    await commands.run(change);
    await refused(
      keyBy(dir, (v) => v.unlock(null)),
      "vault-tpm-refused",
    );
    assert.deepEqual(await keyBy(dir, (v) => v.unlockByPhrase(phrase)), key);
    await vault.rekey({}, false);
    assert.deepEqual(await keyBy(dir, (v) => v.unlock(null)), key, "sealed anew to the registers of now");

    await tpm.end();
    await refused(
      keyBy(dir, (v) => v.unlock(null)),
      "vault-tpm-missing",
    );
    assert.deepEqual(await keyBy(dir, (v) => v.unlockByPhrase(phrase)), key);
    assert.deepEqual(
      (await readdir(dir)).filter((name) => name.startsWith("vault-tpm-")),
      [],
    );
  });
});

/** A TPM 2.0 in a process. */
async function softwareTpm(
  stack: AsyncDisposableStack,
  dir: string,
): Promise<{ readonly place: TpmPlace; end(): Promise<void> }> {
  const state = join(dir, "tpm");
  await mkdir(state);
  const socket = join(state, "data");
  const server = ["--server", `type=unixio,path=${socket}`, "--ctrl", `type=unixio,path=${socket}.ctrl`];
  const flags = ["--flags", "not-need-init,startup-clear"];
  const child = spawn("swtpm", ["socket", "--tpm2", "--tpmstate", `dir=${state}`, ...server, ...flags], {
    stdio: "ignore",
  });
  const ended = new Promise<void>((resolve) => void child.once("exit", () => resolve()));
  const end = async (): Promise<void> => {
    child.kill("SIGKILL");
    await ended;
  };
  stack.defer(end);
  for (let tries = 0; (await stat(`${socket}.ctrl`).catch(() => null)) === null; tries += 1) {
    if (tries > 200) throw new Error("swtpm did not open its socket");
    await delay(50);
  }
  return { place: { tcti: `swtpm:path=${socket}`, pcrs: "sha256:0,7" }, end };
}
