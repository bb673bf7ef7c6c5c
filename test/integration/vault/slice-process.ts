/**
 * One end of a slice, in a process that is killed after so many commands that change something.
 * Arguments: the stand's directory, the slice, how many commands it may run. It prints `done` where it came to the end.
 */
import { join } from "node:path";
import { imageVolumes } from "../../../packages/warden/src/volumes/image-volumes.ts";
import { mortalCommands, openVault } from "./vault-stand.ts";
import { CUT, START } from "./slices-stand.ts";

const [dir = "", slice = "", most = "0"] = process.argv.slice(2);
const vault = await openVault(dir);
const places = { volumesDir: join(dir, "volumes"), mountsDir: join(dir, "mnt") };
const store = imageVolumes(places, mortalCommands(Number(most)), vault.keys, () => START);
await store.destroySlice(CUT, slice);
process.stdout.write("done");
