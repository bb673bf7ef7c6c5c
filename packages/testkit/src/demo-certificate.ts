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

/** Makes a key and a certificate for every host of the demo's domain; @throws as runCommand if there is no openssl. */
export async function makeDemoCertificate(): Promise<DemoCertificate> {
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "-"];
  const names = ["-addext", `subjectAltName=DNS:*.${DEMO_DOMAIN},DNS:${DEMO_DOMAIN}`];
  const subject = ["-subj", `/O=Demo/CN=www.${DEMO_DOMAIN}`, "-days", "3650"];
  const { stdout } = await runCommand("openssl", ["req", "-x509", ...key, ...subject, ...names]);
  const pem = (label: string): string =>
    new RegExp(`-----BEGIN ${label}-----[^-]+-----END ${label}-----\n`).exec(stdout)?.[0] ?? "";
  return { key: pem("PRIVATE KEY"), cert: pem("CERTIFICATE") };
}
