/**
 * Bill of materials of an image: CycloneDX 1.6 JSON (ECMA-424), one component for each package of
 * the distribution and each npm package inside the agent's bundle, named by package URLs.
 *
 * No serial number and no time: the same image gives the same bytes. Pure.
 */
import type { NpmPackage } from "./bundle.ts";
import type { DistributionPackage } from "./inventory.ts";

export interface SbomInput {
  readonly name: string;
  readonly version: string;
  readonly base: "debian" | "alpine";
  readonly suite: string;
  readonly packages: readonly DistributionPackage[];
  readonly npm: readonly NpmPackage[];
}

/** The document as text, with a newline at its end. */
export function renderSbom(input: SbomInput): string {
  const components = [
    ...input.packages.map((each) => distributionComponent(each, input)),
    ...input.npm.map(npmComponent),
  ].toSorted((a, b) => (a["bom-ref"] < b["bom-ref"] ? -1 : 1));
  const document = {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      component: {
        type: "container",
        "bom-ref": `bulkhead:${input.name}@${input.version}`,
        name: input.name,
        version: input.version,
      },
    },
    components: [
      {
        type: "operating-system",
        "bom-ref": `os:${input.base}@${input.suite}`,
        name: input.base,
        version: input.suite,
      },
      ...components,
    ],
  };
  return `${JSON.stringify(document, null, 1)}\n`;
}

function distributionComponent(each: DistributionPackage, { base, suite }: SbomInput) {
  const qualifiers = [
    `arch=${each.architecture}`,
    `distro=${suite}`,
    ...(each.source === each.name ? [] : [`upstream=${encodeURIComponent(each.source)}`]),
  ];
  const version = encodeURIComponent(each.version);
  const name = encodeURIComponent(each.name);
  const purl = `pkg:${each.kind}/${base}/${name}@${version}?${qualifiers.join("&")}`;
  return {
    type: "library",
    "bom-ref": purl,
    name: each.name,
    version: each.version,
    ...(each.description === "" ? {} : { description: each.description }),
    ...licences(each.licence),
    purl,
    ...(each.homepage === null ? {} : { externalReferences: [{ type: "website", url: each.homepage }] }),
  };
}

function npmComponent(each: NpmPackage) {
  const path = each.name.split("/").map(encodeURIComponent).join("/");
  const purl = `pkg:npm/${path}@${encodeURIComponent(each.version)}`;
  return {
    type: "library",
    "bom-ref": purl,
    name: each.name,
    version: each.version,
    ...licences(each.licence),
    purl,
  };
}

/** Only what reads as an SPDX expression; free text would make the document invalid. */
function licences(stated: string | null) {
  if (stated === null || !/^[A-Za-z0-9.+() -]+$/.test(stated)) return {};
  const isOne = /^[A-Za-z0-9.+-]+$/.test(stated);
  return { licenses: [isOne ? { license: { name: stated } } : { expression: stated }] };
}
