/**
 * Kernel hints: says that something about the datapath changed, so that the holder can look at once
 * and otherwise rest. Listens with `ip monitor` and `tc monitor` (rtnetlink(7)): no cost while idle.
 *
 * A hint is never a fact to act on: what changed is observed. A listener that ended is started
 * again at the next look; until then the holder's own timer finds what a hint would have told.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { engineNamespaceName } from "./naming.ts";

const HOST = "host";

export class KernelHints implements Disposable {
  readonly #listeners = new Map<string, ChildProcess>();
  readonly #onHint: () => void;
  readonly #slug: string;
  #devices: readonly string[] = [];

  constructor(slug: string, onHint: () => void) {
    this.#slug = slug;
    this.#onHint = onHint;
  }

  /**
   * Listens in the host's namespace for these devices, and in the namespaces of these engines for all.
   * `networks` are names of namespaces in which rules, devices and addresses are worth a look.
   */
  follow(engines: readonly string[], devices: readonly string[], networks: readonly string[] = []): void {
    this.#devices = devices;
    const wanted = new Map<string, readonly string[]>([[HOST, ["ip", "monitor", "link"]]]);
    for (const engine of engines) {
      const namespace = engineNamespaceName(this.#slug, engine);
      wanted.set(`link ${engine}`, ["ip", "-n", namespace, "monitor", "link"]);
      wanted.set(`tc ${engine}`, ["tc", "-n", namespace, "monitor"]);
    }
    for (const namespace of networks) {
      wanted.set(`ip ${namespace}`, ["ip", "-n", namespace, "monitor", "link", "address"]);
      wanted.set(`nft ${namespace}`, [
        "nsenter",
        `--net=/run/netns/${namespace}`,
        "--",
        "nft",
        "monitor",
        "ruleset",
      ]);
    }
    for (const [name, child] of this.#listeners) {
      if (!wanted.has(name)) child.kill("SIGKILL");
    }
    for (const [name, argv] of wanted) {
      if (!this.#listeners.has(name)) this.#listen(name, argv);
    }
  }

  [Symbol.dispose](): void {
    for (const child of this.#listeners.values()) child.kill("SIGKILL");
  }

  #listen(name: string, argv: readonly string[]): void {
    // The kernel ends it with us, however we end (prctl(2), PR_SET_PDEATHSIG).
    const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...argv], {
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
      stdio: ["ignore", "pipe", "ignore"],
    });
    this.#listeners.set(name, child);
    child.stdout.on("data", (text: Buffer) => {
      // A host has many devices that come and go; only the site's are worth a look.
      if (name !== HOST || this.#devices.some((device) => text.includes(device))) this.#onHint();
    });
    const ended = (): void => {
      if (this.#listeners.get(name) === child) this.#listeners.delete(name);
    };
    child.on("error", ended);
    child.on("exit", ended);
  }
}
