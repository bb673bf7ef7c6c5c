/**
 * The outside of a sensor's egress interface: a device of the host whose far end lies in a namespace of the test's, with
 * the servers of the egress tests there: DNS, HTTP and TLS.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import {
  makeNamespace,
  namespacePath,
  type NetworkNamespace,
  runCommand,
  tryCommand,
} from "@bulkhead/testkit";

/** Public addresses, on a wire that leads nowhere else, and one that is private. */
export const PLACE = {
  proxy: "93.184.215.2",
  dns: "93.184.215.1",
  web: "93.184.215.14",
  secret: "10.66.0.5",
} as const;
const PROCESS = join(import.meta.dirname, "..", "integration", "egress", "outside-process.ts");

export interface Outside extends AsyncDisposable {
  readonly namespace: NetworkNamespace;
  /** Of the TLS server, for every name below example.net. */
  readonly certificate: string;
}

/** web, other and private.example.net, the last one at a private address. @param device made on the host */
export async function makeOutside(device: string): Promise<Outside> {
  await using undo = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), "bhe2e-outside-"));
  undo.defer(() => rm(directory, { recursive: true, force: true }));
  const namespace = undo.use(await makeNamespace());
  await tryCommand("ip", ["link", "del", device]);
  const far = ["peer", "name", "out1", "netns", namespace.name];
  await runCommand("ip", ["link", "add", device, "type", "veth", ...far]);
  undo.defer(async () => void (await tryCommand("ip", ["link", "del", device])));
  for (const address of [`${PLACE.dns}/24`, `${PLACE.web}/24`, `${PLACE.secret}/32`])
    await namespace.ip("addr", "add", address, "dev", "out1");
  await namespace.ip("link", "set", "out1", "up");
  const [keyFile, certificateFile] = [join(directory, "key.pem"), join(directory, "certificate.pem")];
  await runCommand("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
    ...["-subj", "/CN=egress test", "-addext", "subjectAltName=DNS:*.example.net"],
    ...["-keyout", keyFile, "-out", certificateFile],
  ]);
  const a = (name: string, data: string) => ({ [`${name} A`]: [[{ type: "A", name, data }]] });
  const zone = {
    ...a("web.example.net", PLACE.web),
    ...a("other.example.net", PLACE.web),
    ...a("private.example.net", PLACE.secret),
  };
  const [key, certificate] = [await readFile(keyFile, "utf8"), await readFile(certificateFile, "utf8")];
  const argv = [process.execPath, PROCESS, JSON.stringify({ zone, key, certificate })];
  const server = spawn("nsenter", [`--net=${namespacePath(namespace.name)}`, "--", ...argv], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(server, "exit");
  undo.defer(async () => {
    server.kill("SIGKILL");
    await ended;
  });
  for await (const line of createInterface(server.stdout)) if (line.includes("ready")) break;
  const owned = undo.move();
  return { namespace, certificate, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
