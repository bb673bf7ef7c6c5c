/**
 * A downloader that was taken over: any program, run inside of its container as its user, tries what it must not be
 * able to do, and beside each group what it may, as the control.
 */
import * as z from "zod";
import { PLACE } from "./outside.ts";
import type { SensorStand } from "./sensor-stand.ts";

const Findings = z.strictObject({
  /** CONNECT over the egress socket: its status and reason. */
  through: z.record(z.string(), z.string()),
  /** Without the socket: the error. */
  direct: z.record(z.string(), z.string()),
  volumes: z.array(z.string()),
  sockets: z.array(z.string()),
  writes: z.record(z.string(), z.string()),
  /** By type: `ok`, or the refusal. */
  deliver: z.record(z.string(), z.string()),
  /** By what was said on the bus: what came back. */
  bus: z.record(z.string(), z.string()),
});
export type Findings = z.infer<typeof Findings>;

export interface TakenOver {
  readonly brokerPort: number;
  /** Another instrument of the site. */
  readonly other: string;
}

export async function takenOver(
  stand: Pick<SensorStand, "client">,
  { brokerPort, other }: TakenOver,
): Promise<Findings> {
  const order = {
    through: [
      "web.example.net:443",
      "web.example.net:80",
      "web.example.net:22",
      "other.example.net:443",
      "private.example.net:443",
      `${PLACE.web}:443`,
      `127.0.0.1:${brokerPort}`,
      `localhost:${brokerPort}`,
      "169.254.169.254:80",
    ],
    direct: [`${PLACE.web}:443`, `${PLACE.dns}:53`, `127.0.0.1:${brokerPort}`, "169.254.169.254:80"],
    writes: [
      "/data/store/x",
      "/data/x",
      "/inbox/x",
      "/resources/x",
      "/run/bulkhead/x",
      "/opt/instrument/agent.cjs",
      "/x",
    ],
    types: ["ruleset.feed", "ruleset.suricata", "../rules"],
    said: [
      `PUB svc.${other}.deliver _INBOX.fetch.a 2\r\n{}\r\n`,
      `PUB cmd.${other}.resource _INBOX.fetch.a 2\r\n{}\r\n`,
      `PUB cmd.${other}.config 2\r\n{}\r\n`,
      `PUB msg.ids.${other}.ruleset.apply _INBOX.fetch.a 2\r\n{}\r\n`,
      `SUB cmd.${other}.> 1\r\n`,
      `SUB _INBOX.${other}.> 1\r\n`,
      "SUB svc.> 1\r\n",
    ],
  };
  const node = ["/opt/node/bin/node", "-e", `(${inside.toString()})(${JSON.stringify(order)})`];
  const text = await stand.client("exec", "fetch", "--user", "1000", "--group", "1000", "--", ...node);
  return Findings.parse(JSON.parse(text));
}

interface Order {
  readonly through: readonly string[];
  readonly direct: readonly string[];
  readonly writes: readonly string[];
  readonly types: readonly string[];
  readonly said: readonly string[];
}

/** Goes over to the container as its own text: it uses nothing of this file. */
async function inside(order: Order): Promise<void> {
  const [http, net, fs] = [
    process.getBuiltinModule("node:http"),
    process.getBuiltinModule("node:net"),
    process.getBuiltinModule("node:fs"),
  ];
  const wait = (ms: number) =>
    new Promise<string>((resolve) => setTimeout(() => resolve("failed: silence"), ms));
  const each = async (names: readonly string[], work: (name: string) => Promise<string>) => {
    const found: Record<string, string> = {};
    for (const name of names) found[name] = await Promise.race([work(name), wait(8000)]);
    return found;
  };
  const connectThrough = (path: string) =>
    new Promise<string>((resolve) => {
      const request = http.request({
        socketPath: "/run/bulkhead/egress.sock",
        method: "CONNECT",
        path,
        headers: { host: path },
      });
      const say = (status: number | undefined, reason: unknown) =>
        resolve(status === 200 ? "200" : `${status} ${String(reason)}`);
      request.on("connect", (response, socket) => {
        socket.destroy();
        say(response.statusCode, response.headers["x-bulkhead-refused"]);
      });
      request.on("response", (response) => say(response.statusCode, response.headers["x-bulkhead-refused"]));
      request.on("error", (error) => resolve(`failed: ${error.message}`));
      request.end();
    });
  const codeOf = (error: Error) => ("code" in error ? String(error.code) : error.message);
  const connectDirectly = (target: string) =>
    new Promise<string>((resolve) => {
      const [host, port] = target.split(":");
      const socket = net.connect({ host: host ?? "", port: Number(port) });
      socket.on("connect", () => resolve("reached"));
      socket.on("error", (error) => resolve(codeOf(error)));
    });
  const write = async (path: string) => {
    try {
      fs.writeFileSync(path, "x");
      return "written";
    } catch (error) {
      return codeOf(error as Error);
    }
  };
  /** One connection to the bus, and all that came on it within a while. */
  const speak = (text: string, until: RegExp) =>
    new Promise<string>((resolve) => {
      const socket = net.connect("/run/bulkhead/bus.sock");
      let heard = "";
      const end = (word: string) => {
        socket.destroy();
        resolve(word);
      };
      socket.on("data", (bytes: Buffer) => {
        const first = heard === "";
        heard += bytes.toString("latin1");
        if (first)
          socket.write(`CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n${text}PING\r\n`);
        if (until.test(heard)) end(heard);
      });
      socket.on("close", () => end(`closed: ${heard}`));
      socket.on("error", () => end(`closed: ${heard}`));
      setTimeout(() => end(`silence: ${heard}`), 4000);
    });
  const shorten = (text: string) => text.replace(/^INFO .*\r\n/, "").slice(-300);
  const deliver = async (type: string) => {
    const body = JSON.stringify({ type, name: "good", sizeBytes: 4 });
    const sub = "SUB _INBOX.fetch.d 1\r\n";
    const heard = await speak(
      `${sub}PUB svc.fetch.deliver _INBOX.fetch.d ${body.length}\r\n${body}\r\n`,
      /"ok":.*}/,
    );
    if (heard.includes('"ok":true')) return "ok";
    return /"refusal":"([a-z-]+)"/.exec(heard)?.[1] ?? shorten(heard);
  };
  const found = {
    through: await each(order.through, connectThrough),
    direct: await each(order.direct, connectDirectly),
    volumes: fs.readdirSync("/data"),
    sockets: fs.readdirSync("/run/bulkhead").toSorted(),
    writes: await each(order.writes, write),
    deliver: await each(order.types, deliver),
    bus: await each(order.said, async (text) => shorten(await speak(text, /-ERR [^\r]*\r\n/))),
  };
  process.stdout.write(JSON.stringify(found), () => process.exit(0));
}
