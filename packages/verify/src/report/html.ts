/** The report as one HTML page: readable, printable, without scripts or anything from elsewhere. Pure. */
import { GROUPS } from "../attempt.ts";
import type { Result } from "../run/result.ts";
import type { Report, SignedReport } from "./report.ts";

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}
h1{font-size:1.6rem}h2{margin-top:2.5rem;border-bottom:1px solid #d0d7de;padding-bottom:.3rem}
table{border-collapse:collapse;width:100%;font-size:.85rem}th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid #eaeef2}
code{font-size:.85em;overflow-wrap:anywhere}.passed{color:#116329}.failed{color:#a40e26;font-weight:600}.absent{color:#7d4e00}
@media print{body{margin:0;max-width:none;font-size:11px}tr{break-inside:avoid}}`;

export function renderHtml(report: Report, signature: SignedReport["signature"]): string {
  const { proof, host } = report;
  const verdict = proof.ok
    ? `<p class="passed">Contained: of ${proof.attempts} attempts to get out, none succeeded.</p>`
    : `<p class="failed">Not proven: see what failed below.</p>`;
  const controls =
    proof.controls === null
      ? "<p>Controls were not run: that these attempts could have succeeded is shown by <code>bulkhead verify --prove</code>.</p>"
      : `<p>${proof.controls.caught} of ${proof.controls.total} controls showed what they must: without the layers that cover it an attempt succeeds, and is seen.</p>`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Containment of ${text(report.installation)}</title><style>${STYLE}</style></head><body>
<h1>Containment of the sensor ${text(report.installation)}</h1>
<p>An adversary tried to get out of a twin of each instrument. Every attempt says what was tried, in plain words, what the kernel answered, and what the host saw.</p>
${verdict}${controls}
<h2>Host</h2>
<table>${rows([
    ["Time", report.time],
    ["Host", host.host],
    ["Distribution", host.distribution],
    ["Kernel", host.kernel],
    ["Processor", host.machine],
    ["Bulkhead, Node", `${report.bulkhead}, ${host.node}`],
    ["This host lacks", host.absent.join("; ") || "nothing that was looked for"],
  ])}</table>
<h2>Instruments</h2>
<table><tr><th>Instrument</th><th>Passed</th><th>Failed</th><th>Absent</th></tr>${rows(
    proof.instruments.map(({ name, passed, failed, absent }) => [
      name,
      String(passed),
      String(failed),
      String(absent),
    ]),
  )}</table>
<p>Absent: the kernel of this host lacks what is attacked, so that nothing was tested. It is never counted as passed.</p>
${proof.instruments
  .map(({ name }) =>
    section(
      name,
      proof.results.filter((one) => one.instrument === name),
    ),
  )
  .join("\n")}
<h2>Public checkers</h2>
<table>${rows(report.checkers.map(({ name, why }) => [name, why]))}</table>
<h2>Signature</h2>
<p>The JSON report beside this page carries an Ed25519 signature by the sensor's key over its exact text.</p>
<table>${rows([
    ["Public key", signature.publicKey],
    ["Signature", signature.value],
  ])}</table>
</body></html>
`;
}

function section(name: string, results: readonly Result[]): string {
  const parts = GROUPS.map((group) => {
    const own = results.filter((one) => one.group === group);
    if (own.length === 0) return "";
    const lines = own.map(
      (one) =>
        `<tr><td>${text(one.means)}<br><code>${text(one.attempt)}</code>, as ${one.actor}</td><td class="${one.status}">${one.status}</td><td><code>${text(one.observed)}</code></td><td>${text(seenWords(one))}</td><td>${text(one.layers.join(", "))}${controlWords(one)}</td></tr>`,
    );
    return `<h3>${group}</h3><table><tr><th>What was tried</th><th>Result</th><th>Answer</th><th>Seen from outside</th><th>Held by</th></tr>${lines.join("")}</table>`;
  });
  return `<h2>${text(name)}</h2>${parts.join("")}`;
}

/** "Nothing" is said only where somebody was looking. */
function seenWords({ witness, unseen }: Result): string {
  if (witness !== null) return witness;
  return unseen === null ? "nothing" : `cannot be seen from outside: ${unseen}`;
}

function controlWords({ controls }: Result): string {
  if (controls.length === 0) return "";
  const caught = controls.filter((one) => one.caught).length;
  return `<br>controls: ${caught} of ${controls.length}`;
}

function rows(all: readonly (readonly string[])[]): string {
  return all.map((cells) => `<tr>${cells.map((cell) => `<td>${text(cell)}</td>`).join("")}</tr>`).join("");
}

function text(words: string): string {
  return words
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
