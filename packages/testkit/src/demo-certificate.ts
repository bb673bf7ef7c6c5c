/**
 * The demo web server's own certificate: self-signed, made at start, kept in memory only.
 */
import { runCommand } from "./command.ts";
import { DEMO_DOMAIN } from "./demo-topology.ts";

/** PEM texts; clients trust `cert` as their only authority. */
export interface DemoCertificate {
  readonly key: string;
  readonly cert: string;
}

/** For every host of the demo's domain, or for the names given; @throws as runCommand if there is no openssl. */
export async function makeDemoCertificate(
  names: readonly string[] = [`*.${DEMO_DOMAIN}`, DEMO_DOMAIN],
): Promise<DemoCertificate> {
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "-"];
  const alternative = ["-addext", `subjectAltName=${names.map((name) => `DNS:${name}`).join()}`];
  const subject = ["-subj", `/O=Demo/CN=${names.at(-1) ?? DEMO_DOMAIN}`, "-days", "3650"];
  const { stdout } = await runCommand("openssl", ["req", "-x509", ...key, ...subject, ...alternative]);
  const pem = (label: string): string =>
    new RegExp(`-----BEGIN ${label}-----[^-]+-----END ${label}-----\n`).exec(stdout)?.[0] ?? "";
  return { key: pem("PRIVATE KEY"), cert: pem("CERTIFICATE") };
}
