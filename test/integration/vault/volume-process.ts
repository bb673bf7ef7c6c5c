/**
 * One life of a volume, in a process that is killed after so many commands that change something: made, attached, written to, detached.
 * Arguments: the stand's directory, how many commands it may run. It prints `done` where it came to the end.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { imageVolumes } from "../../../packages/warden/src/volumes/image-volumes.ts";
import { MIB, mortalCommands, openVault, OWNER, persistent } from "./vault-stand.ts";

const [dir = "", most = "0"] = process.argv.slice(2);
const vault = await openVault(dir);
const places = { volumesDir: join(dir, "volumes"), mountsDir: join(dir, "mnt") };
const store = imageVolumes(places, mortalCommands(Number(most)), vault.keys);
const volume = persistent("store", 16 * MIB);
await store.create(volume);
await store.attach(volume, OWNER);
await writeFile(join(store.dataDir(volume), "kept"), "x".repeat(10_000), { flush: true });
await store.detach(volume);
process.stdout.write("done");
