/**
 * A feed of made-up Suricata rules for tests and benches, of the shape of the large public ones: several
 * files, a quarter disabled, flowbits, metadata, references, rules that stand twice. The same seed gives
 * the same feed. Pure.
 */

export interface FeedFile {
  /** Path within the feed's archive. */
  readonly name: string;
  readonly text: string;
}

const CATEGORIES = ["dns", "malware", "exploit", "policy", "scan", "trojan", "web-server", "info"];
const CLASSES = ["trojan-activity", "attempted-admin", "policy-violation", "bad-unknown", "misc-activity"];
const TARGETS = ["Client_Endpoint", "Web_Server", "Server"];
const FIRST_SID = 2_000_000;

/** `count` rules with ids of their own, and some of them again with another revision. */
export function makeRuleFeed(count: number, seed = 1): readonly FeedFile[] {
  const random = randomNumbers(seed);
  const files = new Map<string, string[]>(
    CATEGORIES.map((category) => [`rules/emerging-${category}.rules`, [`# ${category}`, ""]]),
  );
  const names = [...files.keys()];
  for (let index = 0; index < count; index += 1) {
    const name = names[index % names.length] ?? "";
    const line = makeRule(FIRST_SID + index, 1 + Math.floor(random() * 9), random);
    files.get(name)?.push(line);
    if (random() < 0.01)
      files.get(names[(index + 1) % names.length] ?? "")?.push(line.replace(/rev:\d+/, "rev:11"));
  }
  return Array.from(files, ([name, lines]) => ({ name, text: `${lines.join("\n")}\n` }));
}

function makeRule(sid: number, rev: number, random: () => number): string {
  const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)] as T; // `of` is not empty
  const category = CATEGORIES[(sid - FIRST_SID) % CATEGORIES.length] ?? "";
  const word = Math.floor(random() * 1e9).toString(36);
  const bit = `ET.${category}.${Math.floor(random() * 200)}`;
  const kind = random();
  const flowbits =
    kind < 0.03 ? `flowbits:isset,${bit}; ` : kind < 0.06 ? `flowbits:set,${bit}; flowbits:noalert; ` : "";
  const quiet = kind < 0.06 && kind >= 0.03;
  const header = pick([
    "alert tcp $HOME_NET any -> $EXTERNAL_NET $HTTP_PORTS",
    "alert http $EXTERNAL_NET any -> $HOME_NET any",
    "alert dns $HOME_NET any -> any any",
    "alert tls [$HOME_NET,!10.9.9.9] any -> $EXTERNAL_NET [443,8443]",
  ]);
  const options =
    `msg:"ET ${category.toUpperCase()} Observed ${word} (${pick(TARGETS)})"; flow:established,to_server; ` +
    `content:"${word}\\;|3a 20|"; fast_pattern; content:"/${word}/index.php?id="; nocase; distance:0; ` +
    `pcre:"/^[a-z]{${1 + Math.floor(random() * 8)},20}\\x2f(?:a|b)$/Ri"; ${flowbits}` +
    `threshold:type limit, track by_src, seconds 60, count 1; ` +
    `reference:url,reports.example/${word}; reference:md5,${word.padStart(32, "0")}; classtype:${pick(CLASSES)}; `;
  const metadata =
    `metadata:attack_target ${pick(TARGETS)}, created_at 2024_0${1 + Math.floor(random() * 9)}_11, ` +
    `deployment ${pick(["Perimeter", "Internal"])}, signature_severity ${pick(["Major", "Minor"])}, updated_at 2025_01_02;`;
  const text = `${header} (${options}sid:${sid}; rev:${rev}; ${metadata})`;
  return random() < (quiet ? 0.6 : 0.25) ? `#${text}` : text;
}

/** Numbers from 0 to 1 (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
