/**
 * What a noisy instrument does: programs for Node inside of a container, each of which harms by excess alone.
 *
 * Invariants: each says one line once it has begun, holds on for `SECONDS`, and ends by itself with all that it
 * started: nothing has to be cleared up inside. They are given on stdin, and nothing is installed.
 */
const HEAD = `const SECONDS = Number(process.argv[1]);
const begun = (words) => process.stdout.write(words + "\\n");
const endMs = Date.now() + SECONDS * 1000;
const over = () => Date.now() > endMs;
setTimeout(() => process.exit(0), SECONDS * 1000);
`;

const script = (body: string): string => `${HEAD}${body}`;

/** A connection to the instrument's own bus socket, past the SDK, and a publisher that never stops. */
const flood = (subject: string, payloadBytes: number): string =>
  script(`const { createConnection } = require("node:net");
const payload = Buffer.alloc(${payloadBytes}, 120);
const one = Buffer.concat([Buffer.from("PUB ${subject} " + payload.length + "\\r\\n"), payload, Buffer.from("\\r\\n")]);
const many = Buffer.concat(Array(Math.max(1, Math.floor(65536 / one.length))).fill(one));
let first = true;
const dial = () => {
  const socket = createConnection("/run/bulkhead/bus.sock");
  socket.on("connect", () => socket.write('CONNECT {"verbose":false,"headers":true}\\r\\nPING\\r\\n'));
  socket.on("data", () => undefined);
  const push = () => { while (!over() && socket.writable && socket.write(many)); };
  socket.on("drain", push);
  socket.once("data", () => { if (first) begun("floods"); first = false; setTimeout(push, 50); });
  socket.on("error", () => undefined);
  socket.on("close", () => { if (!over()) setTimeout(dial, 100); });
};
dial();`);

export const ATTACK_SCRIPTS = {
  "fork-bomb": script(`const { spawn } = require("node:child_process");
let refused = 0;
const fork = () => {
  const child = spawn("/opt/node/bin/node", ["-e", "setTimeout(() => process.exit(0), " + (endMs - Date.now()) + ")"]);
  child.on("error", () => { refused += 1; });
};
const again = () => { if (over()) return; for (let i = 0; i < 8; i += 1) fork(); setTimeout(again, 20); };
again();
begun("forks");`),
  "memory-hog": script(`const { spawn } = require("node:child_process");
const hog = "const held = []; for (;;) held.push(Buffer.alloc(4 << 20, 1));";
const again = () => {
  if (over()) return;
  const child = spawn("/opt/node/bin/node", ["-e", hog]);
  child.on("error", () => setTimeout(again, 100));
  child.on("exit", again);
  setTimeout(() => child.kill("SIGKILL"), endMs - Date.now());
};
again();
begun("allocates");`),
  "cpu-spin": script(`const { spawn } = require("node:child_process");
const code = "const end = " + endMs + "; while (Date.now() < end) for (let i = 0; i < 1e7; i += 1);";
spawn("/opt/node/bin/node", ["-e", code]).on("error", () => undefined);
const spin = () => { for (const until = Date.now() + 50; Date.now() < until; ); if (!over()) setImmediate(spin); };
setImmediate(spin);
begun("spins");`),
  "disk-filler": script(`const fs = require("node:fs");
const block = Buffer.alloc(1 << 20, 1);
const dir = "/data/db/noise";
fs.rmSync(dir, { recursive: true, force: true });
fs.mkdirSync(dir, { recursive: true });
let inodes = 0;
const fill = () => {
  try {
    for (let i = 0; i < 16; i += 1) fs.appendFileSync(dir + "/blocks", block);
    for (let i = 0; i < 200; i += 1) fs.writeFileSync(dir + "/" + inodes++, "");
  } catch {
    fs.rmSync(dir, { recursive: true, force: true });
    fs.mkdirSync(dir, { recursive: true });
  }
  if (over()) return fs.rmSync(dir, { recursive: true, force: true });
  setImmediate(fill);
};
fill();
begun("fills");`),
  descriptors: script(`const fs = require("node:fs");
const held = [];
let files = 0;
try { for (;;) { held.push(fs.openSync("/dev/null")); files += 1; } } catch {}
for (const fd of held.splice(0, 256)) fs.closeSync(fd);
const { spawn } = require("node:child_process");
// One instance of inotify for each process, and as many watches as there are directories.
const watch = "const fs = require('fs'); for (const name of fs.readdirSync('/proc')) " +
  "try { fs.watch('/proc/' + name).on('error', () => undefined); } catch {}" +
  "; setTimeout(() => process.exit(0), " + (endMs - Date.now()) + ")";
for (let i = 0; i < 16; i += 1) spawn("/opt/node/bin/node", ["-e", watch]).on("error", () => undefined);
begun(files + " files");`),
  sockets: script(`const net = require("node:net");
const held = [];
const server = net.createServer((socket) => { held.push(socket); socket.on("error", () => undefined); });
server.on("error", () => undefined);
server.listen(0, "127.0.0.1", () => {
  const again = () => {
    if (over()) return;
    for (let i = 0; i < 200; i += 1) {
      const socket = net.connect(server.address().port, "127.0.0.1");
      socket.on("error", () => undefined);
      held.push(socket);
    }
    if (held.length > 3500) for (const socket of held.splice(0, 1500)) socket.destroy();
    setTimeout(again, 5);
  };
  again();
  begun("connects");
});`),
  "log-flood": flood("svc.noisy.log", 256),
  "bus-flood": flood("ev.noisy-bus.hello.greeting", 64),
  "message-bomb": flood("ev.noisy-bus.hello.greeting", 1_000_000),
} as const satisfies Readonly<Record<string, string>>;

/** Modes of packet-hog.c. */
export const PACKET_ATTACKS = {
  "packet-rings": "rings",
  "packet-filters": "filters",
  "packet-sockets": "sockets",
} as const satisfies Readonly<Record<string, string>>;

export type AttackId = keyof typeof ATTACK_SCRIPTS | keyof typeof PACKET_ATTACKS;

/** One with a volume, one that may speak, one with a tap. */
export const ATTACKER_NAMES = ["noisy", "noisy-bus", "noisy-tap"] as const;
export type AttackerName = (typeof ATTACKER_NAMES)[number];

/** Which instrument of the site does it. */
export function attackerOf(attack: AttackId): AttackerName {
  if (attack in PACKET_ATTACKS) return "noisy-tap";
  return attack === "bus-flood" || attack === "message-bomb" ? "noisy-bus" : "noisy";
}

/** Units of work of a bystander: hashing, memory, and a write that is forced to its disk; counted for as long as it is told to. */
export const BYSTANDER_SCRIPT = `const { createHash } = require("node:crypto");
const fs = require("node:fs");
const file = fs.openSync("/data/db/bystander", "w");
const page = Buffer.alloc(4096, 7);
const unit = () => {
  const held = Buffer.alloc(1 << 20, 3);
  createHash("sha256").update(held.subarray(0, 1 << 18)).digest();
  fs.writeSync(file, page, 0, page.length, 0);
  fs.fdatasyncSync(file);
};
require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const endMs = performance.now() + Number(line);
  let units = 0;
  while (performance.now() < endMs) { unit(); units += 1; }
  process.stdout.write(units + "\\n");
}).on("close", () => process.exit(0));
process.stdout.write("ready\\n");
`;
