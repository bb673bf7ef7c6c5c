/**
 * The installation's users and groups: system accounts without shell, home or password. One for the platform's own
 * processes, one for the egress proxy, which shares nothing with them.
 *
 * Invariants: an account is ours only if its comment field says so; one of the same name that does not is left alone
 * and set-up is refused. Removing the account takes no file with it.
 */
import { EGRESS_NAME, type InstallationLayout } from "@bulkhead/schema";
import { askCommand, runCommand } from "./command.ts";
import { HostError } from "./error.ts";

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** The egress proxy's account. */
export function egressAccountName(layout: InstallationLayout): string {
  return `${layout.slug}-${EGRESS_NAME}`;
}

/** Makes the account unless it is there. @throws HostError `host-account-foreign` */
export async function ensureAccount(
  layout: InstallationLayout,
  name: string = layout.slug,
): Promise<{ readonly account: Account; readonly made: boolean }> {
  const found = await observeAccount(layout, name);
  if (found.kind === "ours") return { account: found.account, made: false };
  if (found.kind === "foreign" || (await groupExists(name))) {
    throw new HostError("host-account-foreign", `the account ${name} is somebody else's`, {
      advice: "choose another installation's name, or remove that user and group",
    });
  }
  await runCommand("useradd", [
    "--system",
    "--user-group",
    "--no-create-home",
    "--home-dir",
    "/nonexistent",
    "--shell",
    "/usr/sbin/nologin",
    "--comment",
    comment(layout),
    name,
  ]);
  const made = await observeAccount(layout, name);
  if (made.kind === "ours") return { account: made.account, made: true };
  throw new HostError("host-account-foreign", `the account ${name} was not made as asked`, {
    advice: "see `getent passwd` for that name",
  });
}

export type ObservedAccount =
  | { readonly kind: "absent" }
  | { readonly kind: "foreign" }
  | { readonly kind: "ours"; readonly account: Account };

export async function observeAccount(
  layout: InstallationLayout,
  name: string = layout.slug,
): Promise<ObservedAccount> {
  // getent: 2 is "no such key".
  const { exitCode, stdout } = await askCommand("getent", ["passwd", name]);
  if (exitCode !== 0) return { kind: "absent" };
  return parseAccount(stdout, layout, name);
}

/** Reads one line of passwd(5). */
export function parseAccount(
  line: string,
  layout: InstallationLayout,
  name: string = layout.slug,
): ObservedAccount {
  const [found, , uid, gid, words] = line.trim().split(":");
  if (found !== name || words !== comment(layout)) return { kind: "foreign" };
  return { kind: "ours", account: { uid: Number(uid), gid: Number(gid) } };
}

/** @returns whether there was one of ours to remove */
export async function removeAccount(
  layout: InstallationLayout,
  name: string = layout.slug,
): Promise<boolean> {
  const found = await observeAccount(layout, name);
  if (found.kind !== "ours") return false;
  await runCommand("userdel", [name]);
  // userdel takes the group along only where login.defs says USERGROUPS_ENAB.
  if (await groupExists(name)) await runCommand("groupdel", [name]);
  return true;
}

async function groupExists(name: string): Promise<boolean> {
  return (await askCommand("getent", ["group", name])).exitCode === 0;
}

function comment(layout: InstallationLayout): string {
  return `Bulkhead installation ${layout.name}`;
}
