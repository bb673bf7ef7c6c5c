/**
 * Address clients: for each device that is to get its IPv4 address by DHCP, one unprivileged client (udhcpc) in that
 * device's namespace, whose reports are checked here.
 *
 *   const clients = new AddressClients({ libDir, uid, objection: () => null, onChange: () => look() });
 *   await clients.prepare();                                  // once
 *   clients.follow([{ key, netnsFile, device }]);             // starts and ends clients; cheap when nothing changed
 *   clients.state(key)                                        // asking | bound {lease} | lost {reason}
 *
 * The caller sets a lease with `setAddresses(namespace, device, leaseAddresses(lease))` and `setRoutes` (device-addresses.ts).
 * Invariants: a client runs as `uid` with NET_RAW and NET_BIND_SERVICE alone, in that namespace alone, and ends with
 * warden; it sets nothing by itself: its script only prints what the server said. One that ended is started again with
 * a pause. A device must exist and be up. Rules must let UDP 68 to 67 of `uid` pass.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { chmod, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import type { IpRange } from "@bulkhead/schema";
import { writeFileAtomically } from "../site/atomic-file.ts";
import type { WantedAddresses } from "./device-addresses.ts";
import { checkLease, type Lease, parseLeaseReport } from "./lease.ts";

export interface AddressTarget {
  readonly key: string;
  readonly netnsFile: string;
  readonly device: string;
}

export type LeaseState =
  /** No answer yet since warden began: what is set stays. */
  | { readonly state: "asking" }
  | { readonly state: "bound"; readonly lease: Lease }
  /** The server took it back, or gave what is no lease. */
  | { readonly state: "lost"; readonly reason: string };

export interface AddressClientsOptions {
  /** The reporting script lies in it; others may pass through it. */
  readonly libDir: string;
  readonly uid: number;
  /** What speaks against this address for `key`, in plain words; null where nothing does. */
  readonly objection: (key: string, address: IpRange) => string | null;
  /** A hint that `state` of some key has changed. */
  readonly onChange: (key: string) => void;
}

const ASKING: LeaseState = { state: "asking" };
const RESTART_MS = 5_000;
/** What a report line may hold; udhcpc's values are a packet's at most. */
const LINE_LIMIT = 2_000;

/** Prints the event and the few values that are read; awk has no shell that would look at them. */
const SCRIPT = `#!/usr/bin/awk -f
BEGIN {
  line = "event=" ARGV[1]
  count = split("ip mask router serverid lease", names, " ")
  for (i = 1; i <= count; i++) {
    value = ENVIRON[names[i]]
    gsub(/[^0-9. ]/, "", value)
    if (value != "") line = line "\\t" names[i] "=" value
  }
  print line
  exit
}
`;

interface Client {
  readonly target: AddressTarget;
  child: ChildProcess | null;
  state: LeaseState;
  restart: NodeJS.Timeout | null;
  /** A client says "deconfig" when it begins, which takes nothing back. */
  begun: boolean;
}

export class AddressClients implements Disposable {
  readonly #options: AddressClientsOptions;
  readonly #clients = new Map<string, Client>();

  constructor(options: AddressClientsOptions) {
    this.#options = options;
  }

  /** Writes the reporting script. */
  async prepare(): Promise<void> {
    await mkdir(dirname(this.#script), { recursive: true });
    await writeFileAtomically(this.#script, SCRIPT, 0o755);
    await chmod(this.#script, 0o755);
  }

  /** Starts clients for these and ends all others. */
  follow(targets: readonly AddressTarget[]): void {
    for (const [key, client] of this.#clients) {
      const kept = targets.some(
        (t) => t.key === key && t.netnsFile === client.target.netnsFile && t.device === client.target.device,
      );
      if (!kept) this.#end(key, client);
    }
    for (const target of targets) {
      if (this.#clients.has(target.key)) continue;
      const client: Client = { target, child: null, state: ASKING, restart: null, begun: false };
      this.#clients.set(target.key, client);
      this.#start(client);
    }
  }

  state(key: string): LeaseState {
    return this.#clients.get(key)?.state ?? ASKING;
  }

  /** In plain words; null where there is a lease. */
  noLease(key: string): string | null {
    const found = this.state(key);
    if (found.state === "bound") return null;
    return found.state === "lost" ? found.reason : "no server has answered yet";
  }

  /** Ends one client, so that its next start asks anew: to be called when its namespace goes. */
  forget(key: string): void {
    const client = this.#clients.get(key);
    if (client !== undefined) this.#end(key, client);
  }

  [Symbol.dispose](): void {
    for (const [key, client] of this.#clients) this.#end(key, client);
  }

  get #script(): string {
    return join(this.#options.libDir, "dhcp-report");
  }

  #end(key: string, client: Client): void {
    this.#clients.delete(key);
    if (client.restart !== null) clearTimeout(client.restart);
    client.child?.kill("SIGKILL");
  }

  #start(client: Client): void {
    const { netnsFile, device } = client.target;
    const id = String(this.#options.uid);
    const capabilities = "-all,+net_raw,+net_bind_service";
    const argv = [
      `--net=${netnsFile}`,
      "--",
      "setpriv",
      `--reuid=${id}`,
      `--regid=${id}`,
      "--clear-groups",
      `--inh-caps=${capabilities}`,
      `--ambient-caps=${capabilities}`,
      `--bounding-set=${capabilities}`,
      "--no-new-privs",
      "--pdeathsig=KILL",
      "--",
      ...["udhcpc", "-f", "-i", device, "-s", this.#script],
      ...["-o", "-O", "subnet", "-O", "router", "-t", "5", "-T", "2", "-A", "5"],
    ];
    const child = spawn("nsenter", argv, {
      cwd: "/",
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
      stdio: ["ignore", "pipe", "ignore"],
    });
    client.child = child;
    client.begun = false;
    createInterface({ input: child.stdout }).on("line", (line) => this.#report(client, line));
    const ended = (): void => {
      if (client.child !== child) return;
      client.child = null;
      if (this.#clients.get(client.target.key) !== client) return;
      client.restart = setTimeout(() => this.#start(client), RESTART_MS);
      client.restart.unref();
    };
    child.on("error", ended);
    child.on("exit", ended);
  }

  #report(client: Client, line: string): void {
    const report = line.length > LINE_LIMIT ? null : parseLeaseReport(line);
    // udhcpc also logs; only the script's lines begin so.
    if (report === null || this.#clients.get(client.target.key) !== client) return;
    const { key } = client.target;
    switch (report.event) {
      case "bound":
      case "renew": {
        const check = checkLease(report, (address) => this.#options.objection(key, address));
        client.state = check.ok
          ? { state: "bound", lease: check.lease }
          : { state: "lost", reason: check.reason };
        // It believes in its lease, and would ask for no other before half of its time.
        if (!check.ok) client.child?.kill("SIGKILL");
        break;
      }
      case "deconfig":
        if (!client.begun) {
          client.begun = true;
          return;
        }
        client.state = { state: "lost", reason: "the server took the lease back, or it ran out" };
        break;
      case "nak":
        client.state = { state: "lost", reason: "the server refused the lease" };
        break;
      case "leasefail":
        if (client.state.state === "asking") return;
        client.state = { state: "lost", reason: "no server answers" };
        break;
    }
    this.#options.onChange(key);
  }
}

export function leaseAddresses({ address, gateway, validS }: Lease): WantedAddresses {
  return { addresses: [address], gateways: gateway === null ? [] : [gateway], validS, linkLocal: null };
}
