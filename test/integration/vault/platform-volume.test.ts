/**
 * The platform's own volume: while the vault is locked nothing of it can be written anywhere, and once it is open each
 * part has what is its own; a damaged one is said, and never replaced by an empty one.
 */
import assert from "node:assert/strict";
import { chmod, mkdir, readFile, stat, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { PLATFORM_VOLUME } from "@bulkhead/schema";
import { isWardenError } from "../../../packages/warden/src/error.ts";
import { platformVolume } from "../../../packages/warden/src/vault/platform-volume.ts";
import { Secret } from "../../../packages/warden/src/vault/secret.ts";
import { VaultKeeper } from "../../../packages/warden/src/vault/vault-keeper.ts";
import { Vault } from "../../../packages/warden/src/vault/vault.ts";
import { imageVolumes } from "../../../packages/warden/src/volumes/image-volumes.ts";
import { commands, MIB, vaultParts, vaultStand } from "./vault-stand.ts";

const USER = { uid: 65_533, gid: 65_533 } as const;
const PASSPHRASE = "correct horse battery staple";

/** One life of warden: the vault as it lies there, and what keeps it. */
async function life(dir: string) {
  const places = { volumesDir: join(dir, "volumes"), mountsDir: join(dir, "mnt") };
  const platformDir = join(places.mountsDir, PLATFORM_VOLUME.instrument, PLATFORM_VOLUME.id, "d");
  const layout = {
    ...places,
    platformDir,
    brokerDir: join(platformDir, "broker"),
    sensordDir: join(platformDir, "sensord"),
    auditDir: join(platformDir, "audit"),
    resourcesDir: join(platformDir, "resources"),
  };
  const vault = await Vault.open(vaultParts(dir));
  const volumes = imageVolumes(places, commands, vault.keys);
  const platform = platformVolume({
    volumes,
    commands,
    layout,
    settings: { ...USER, platformBytes: 24 * MIB },
  });
  const opened: string[] = [];
  const keeper = new VaultKeeper({
    vault,
    platform,
    volumes,
    commands,
    layout,
    audit: { append: async () => undefined },
    onOpen: async () => void opened.push("open"),
    onChange: () => undefined,
  });
  await keeper.start();
  return { layout, vault, volumes, platform, keeper, opened };
}

test("locked, open, through a restart, closed, and damaged", async () => {
  await using stack = new AsyncDisposableStack();
  const { dir, vault: made } = await vaultStand(stack, 128 * MIB);
  await chmod(dir, 0o711);
  await chmod(join(dir, "mnt"), 0o711);
  const passphrase = new Secret(Buffer.from(PASSPHRASE));
  await made.rekey({ method: "passphrase", passphrase }, false);
  const asUser = (path: string) =>
    commands.run([
      "setpriv",
      `--reuid=${USER.uid}`,
      `--regid=${USER.gid}`,
      "--clear-groups",
      "--",
      "touch",
      path,
    ]);

  const first = await life(dir);
  const { layout } = first;
  assert.deepEqual(
    [first.keeper.state.state, first.keeper.state.problem?.code, first.opened],
    ["locked", "vault-passphrase-missing", []],
  );
  // As set-up leaves it.
  await mkdir(dirname(layout.platformDir), { recursive: true, mode: 0o711 });
  for (const path of [dirname(layout.platformDir), layout.platformDir, layout.sensordDir, layout.brokerDir]) {
    await assert.rejects(asUser(join(path, "written-in-clear")), path);
  }
  await assert.rejects(first.keeper.unlock({ with: "passphrase", passphrase: "wrong" }), (error) =>
    isWardenError(error, "vault-passphrase-wrong"),
  );
  const state = await first.keeper.unlock({ with: "passphrase", passphrase: PASSPHRASE });
  assert.deepEqual([state.state, first.opened], ["unlocked", ["open"]]);
  await asUser(join(layout.sensordDir, "kept"));
  await asUser(join(layout.brokerDir, "kept"));
  await assert.rejects(asUser(join(layout.auditDir, "forged")));
  await assert.rejects(asUser(join(layout.platformDir, "beside")));
  await writeFile(join(layout.auditDir, "entry"), "secret-of-the-platform\n".repeat(1_000));
  assert.deepEqual(await first.volumes.observe(), [], "it is no instrument's");
  assert.deepEqual(
    (await first.keeper.status()).volumes.map(({ instrument, id, key }) => [instrument, id, key]),
    [["platform", "state", "present"]],
  );
  const grown = await first.keeper.grow({ ...PLATFORM_VOLUME, sizeBytes: 32 * MIB });
  assert.equal(grown.sizeBytes, 32 * MIB);

  // warden is killed and comes back without the master key: what is open stays open, and new things wait.
  const second = await life(dir);
  assert.deepEqual([second.keeper.state.state, second.opened], ["locked", ["open"]]);
  assert.equal(await readFile(join(layout.sensordDir, "kept"), "utf8"), "");

  await second.platform.close();
  await assert.rejects(stat(layout.platformDir), { code: "ENOENT" });
  const image = join(layout.volumesDir, "platform", "state.img");
  assert.equal((await readFile(image)).includes("secret-of-the-platform"), false);

  const sound = await readFile(image);
  await truncate(image, 9 * MIB);
  const third = await life(dir);
  await third.keeper.unlock({ with: "passphrase", passphrase: PASSPHRASE });
  assert.deepEqual(
    [third.keeper.state.state, third.keeper.state.problem?.code],
    ["locked", "volume-damaged"],
  );
  assert.equal((await stat(image)).size, 9 * MIB);
  await writeFile(image, sound);
  assert.equal((await third.keeper.unlock({ with: "passphrase", passphrase: PASSPHRASE })).state, "unlocked");
  assert.equal(await readFile(join(layout.sensordDir, "kept"), "utf8"), "");
  await third.platform.close();
});
