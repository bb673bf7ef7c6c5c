/**
 * The installation's user and group: a system account without shell, home or password.
 *
 * Invariants: an account is ours only if its comment field says so; one of the same name that does not is left alone
 * and set-up is refused. Removing the account takes no file with it.
 */
import type { InstallationLayout } from "@bulkhead/schema";
import { askCommand, runCommand } from "./command.ts";
import { HostError } from "./error.ts";

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** Makes the account unless it is there. @throws HostError `host-account-foreign` */
export async function ensureAccount(
  layout: InstallationLayout,
): Promise<{ readonly account: Account; readonly made: boolean }> {
  const found = await observeAccount(layout);
  if (found.kind === "ours") return { account: found.account, made: false };
  if (found.kind === "foreign" || (await groupExists(layout.slug))) {
    throw new HostError("host-account-foreign", `the account ${layout.slug} is somebody else's`, {
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
    layout.slug,
  ]);
  const made = await observeAccount(layout);
  if (made.kind === "ours") return { account: made.account, made: true };
  throw new HostError("host-account-foreign", `the account ${layout.slug} was not made as asked`, {
    advice: "see `getent passwd` for that name",
  });
}

export type ObservedAccount =
  | { readonly kind: "absent" }
  | { readonly kind: "foreign" }
  | { readonly kind: "ours"; readonly account: Account };

export async function observeAccount(layout: InstallationLayout): Promise<ObservedAccount> {
  // getent: 2 is "no such key".
  const { exitCode, stdout } = await askCommand("getent", ["passwd", layout.slug]);
  if (exitCode !== 0) return { kind: "absent" };
  return parseAccount(stdout, layout);
}

/** Reads one line of passwd(5). */
export function parseAccount(line: string, layout: InstallationLayout): ObservedAccount {
  const [name, , uid, gid, words] = line.trim().split(":");
  if (name !== layout.slug || words !== comment(layout)) return { kind: "foreign" };
  return { kind: "ours", account: { uid: Number(uid), gid: Number(gid) } };
}

/** @returns whether there was one of ours to remove */
export async function removeAccount(layout: InstallationLayout): Promise<boolean> {
  const found = await observeAccount(layout);
  if (found.kind !== "ours") return false;
  await runCommand("userdel", [layout.slug]);
  // userdel takes the group along only where login.defs says USERGROUPS_ENAB.
  if (await groupExists(layout.slug)) await runCommand("groupdel", [layout.slug]);
  return true;
}

async function groupExists(name: string): Promise<boolean> {
  return (await askCommand("getent", ["group", name])).exitCode === 0;
}

function comment(layout: InstallationLayout): string {
  return `Bulkhead installation ${layout.name}`;
}
