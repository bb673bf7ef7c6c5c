/**
 * The demo's attacks on paper: what each is called, and which signatures of demo.rules it must raise.
 *
 * Pure. demo-attacker.ts does them; the rules are in rules/demo.rules, and a test holds the three together.
 */

/** `signatures` are the sids of demo.rules that each run must raise, at least once each. */
export interface AttackPlan {
  readonly title: string;
  readonly signatures: readonly number[];
}

export const ATTACKS = {
  "sql-injection": { title: "SQL injection in a query string", signatures: [9_000_001] },
  "path-traversal": { title: "path traversal to /etc/passwd", signatures: [9_000_002] },
  log4shell: { title: "Log4Shell lookup in a header", signatures: [9_000_003] },
  shellshock: { title: "Shellshock in a user agent", signatures: [9_000_004] },
  "scanner-agent": { title: "requests of a known scanner", signatures: [9_000_005] },
  "directory-brute-force": { title: "guessing paths", signatures: [9_000_006, 9_000_007] },
  "port-scan": { title: "SYNs to many ports", signatures: [9_000_008] },
  "dns-tunnel": { title: "data in long TXT queries", signatures: [9_000_009] },
  "large-ping": { title: "oversized echo requests", signatures: [9_000_010] },
  "zone-transfer": { title: "attempt to copy the DNS zone", signatures: [9_000_011] },
  "command-injection": { title: "shell command in a form", signatures: [9_000_012] },
  "suspicious-sni": { title: "TLS to a command-and-control name", signatures: [9_000_013] },
  "ssh-brute-force": { title: "many SSH logins", signatures: [9_000_014] },
} as const satisfies Readonly<Record<string, AttackPlan>>;

export type AttackId = keyof typeof ATTACKS;

/** All attacks, in the order in which the demo does them. */
export const ATTACK_IDS: readonly AttackId[] = Object.keys(ATTACKS).filter(isAttackId);

/** Whether a word names an attack. */
export function isAttackId(word: string): word is AttackId {
  return Object.hasOwn(ATTACKS, word);
}
