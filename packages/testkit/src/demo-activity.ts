/**
 * Benign activity of the demo's clients: which one comes when, and doing it.
 *
 * Invariants: the order is a pure function of a counter, so that runs are alike and names never run out; every
 * activity is a real exchange that fails loudly when the answer is not the expected one; nothing here looks like
 * what demo.rules alerts on.
 */
import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { request } from "node:http";
import { connect as connectTcp } from "node:net";
import { connect as connectTls } from "node:tls";
import { runCommand } from "./command.ts";
import { DEMO_DOMAIN, demoTopology } from "./demo-topology.ts";
import { TestkitError } from "./error.ts";

/** One exchange of a client with a server. */
export type Activity =
  | { readonly kind: "http"; readonly path: string; readonly family: 4 | 6 }
  | { readonly kind: "tls"; readonly serverName: string; readonly family: 4 | 6 }
  | {
      readonly kind: "dns";
      readonly name: string;
      readonly type: "A" | "AAAA" | "MX" | "TXT" | "PTR" | "CNAME";
    }
  | { readonly kind: "ping"; readonly family: 4 | 6 }
  | { readonly kind: "ssh" };

const USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
const TIMEOUT_MS = 10_000;
const PATHS = [
  "/",
  "/about",
  "/products?id=7",
  "/news",
  "/login",
  "/api/status",
  "/downloads/catalogue.txt",
] as const;
const { hosts } = demoTopology("activity");

/** The n-th activity, for ever: half of them DNS, with a name never asked before in every round of twelve. */
export function activityAt(n: number): Activity {
  const round = Math.floor(n / 12);
  const family = round % 2 === 0 ? 4 : 6;
  const path = PATHS[round % PATHS.length] ?? "/";
  const number = round % 60_000;
  const plan: readonly Activity[] = [
    { kind: "dns", name: `host-${number}.${DEMO_DOMAIN}`, type: "A" },
    { kind: "http", path, family },
    { kind: "dns", name: `www.${DEMO_DOMAIN}`, type: "A" },
    { kind: "tls", serverName: round % 3 === 0 ? `intranet.${DEMO_DOMAIN}` : `www.${DEMO_DOMAIN}`, family },
    { kind: "dns", name: `edge-${number}.cdn.${DEMO_DOMAIN}`, type: "AAAA" },
    { kind: "ping", family },
    { kind: "dns", name: DEMO_DOMAIN, type: round % 2 === 0 ? "MX" : "TXT" },
    { kind: "http", path: "/", family: 4 },
    { kind: "dns", name: "80.30.20.10.in-addr.arpa", type: "PTR" },
    { kind: "ssh" },
    { kind: "dns", name: `intranet.${DEMO_DOMAIN}`, type: "AAAA" },
    { kind: "http", path: "/products?id=12&sort=price", family: 4 },
  ];
  // The remainder is always an index of the plan.
  return plan[n % plan.length] as Activity;
}

/** Does one activity from the namespace that this process is in; @throws TestkitError `testkit-host-failed`. */
export async function act(activity: Activity, trustedCert: string): Promise<void> {
  switch (activity.kind) {
    case "http":
      return getPage(webAddress(activity.family), activity.path);
    case "tls":
      return shakeHands(webAddress(activity.family), activity.serverName, trustedCert);
    case "dns":
      return lookUp(activity.name, activity.type);
    case "ping":
      await runCommand("ping", ["-n", "-q", "-c", "1", "-W", "5", webAddress(activity.family)]);
      return;
    case "ssh":
      return exchangeBanners(hosts.web.ipv4);
  }
}

function webAddress(family: 4 | 6): string {
  return family === 4 ? hosts.web.ipv4 : hosts.web.ipv6;
}

async function getPage(address: string, path: string): Promise<void> {
  const status = Promise.withResolvers<number | undefined>();
  const get = request({
    host: address,
    port: 80,
    path,
    agent: false,
    timeout: TIMEOUT_MS,
    headers: {
      host: `www.${DEMO_DOMAIN}`,
      "user-agent": USER_AGENT,
      accept: "text/html",
    },
  });
  get.on("response", (response) => {
    response.on("end", () => status.resolve(response.statusCode)).on("error", status.reject);
    response.resume();
  });
  get.on("timeout", () => get.destroy(new Error("timeout"))).on("error", status.reject);
  get.end();
  const code = await status.promise;
  if (code !== 200) throw new TestkitError("testkit-host-failed", `GET ${path}: status ${code}`);
}

async function shakeHands(address: string, serverName: string, trustedCert: string): Promise<void> {
  const socket = connectTls({ host: address, port: 443, servername: serverName, ca: trustedCert });
  socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error("timeout")));
  await once(socket, "secureConnect");
  socket.end(`GET / HTTP/1.1\r\nhost: ${serverName}\r\nconnection: close\r\n\r\n`);
  socket.resume();
  await once(socket, "close");
}

async function lookUp(name: string, type: Extract<Activity, { kind: "dns" }>["type"]): Promise<void> {
  const resolver = new Resolver({ timeout: 2_000, tries: 3 });
  resolver.setServers([hosts.dns.ipv4]);
  const answers = await resolver.resolve(name, type);
  if (Array.isArray(answers) && answers.length === 0)
    throw new TestkitError("testkit-host-failed", `${name} ${type}: no answer`);
}

async function exchangeBanners(address: string): Promise<void> {
  const socket = connectTcp({ host: address, port: 22 });
  socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error("timeout")));
  await once(socket, "data");
  socket.end("SSH-2.0-OpenSSH_9.2p1\r\n");
  socket.resume();
  await once(socket, "close");
}
