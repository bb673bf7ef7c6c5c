/**
 * instrument.yaml: what an instrument is and what it asks for, written by its author.
 *
 * A request is not a grant: the operator's site grants (see site.ts). Sizes and durations are
 * numbers after parsing (bytes, milliseconds).
 */
import * as z from "zod";
import { DestinationAsk, ListenPort } from "./addressing.ts";
import { EgressTarget } from "./egress.ts";
import { MAX_MESSAGE_DEADLINE_MS } from "./message.ts";
import { DottedName, Name } from "./name.ts";
import { Duration, Size } from "./quantity.ts";

const why = z.string().min(1).max(200).optional();
const common = { id: Name, why };

/** Absolute path inside the container, or the bare name of a file beside the manifest. */
const RelativePath = z
  .string()
  .regex(
    /^(\.\/)?[A-Za-z0-9_][A-Za-z0-9_.-]*(\/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$/,
    "a relative path below the manifest, without ..",
  );

const MessageSchema = z
  .record(z.string(), z.unknown())
  .refine(isJsonSchema, "a JSON Schema (draft 2020-12) of an object");

/** Both sides of a message declare the same: its verb, and JSON Schemas of request and reply. */
const MessageShapes = {
  verb: DottedName,
  /** Left out: the message holds nothing. */
  request: MessageSchema.optional(),
  /** Left out: the reply is its outcome alone, which is no data. */
  reply: MessageSchema.optional(),
};

export const Audience = z.enum(["users", "instruments"]);

export const Need = z.discriminatedUnion("kind", [
  z.strictObject({ ...common, kind: z.literal("net.mirror") }),
  z.strictObject({ ...common, kind: z.literal("net.dedicated") }),
  z.strictObject({
    ...common,
    kind: z.literal("net.bridged"),
    listen: z.array(ListenPort).default([]),
    /** Destinations, or ports alone, for which the site names the addresses. */
    egress: z.array(DestinationAsk).default([]),
  }),
  z.strictObject({
    ...common,
    kind: z.literal("net.egress"),
    /** Empty: which hosts is the operator's to say. */
    hosts: z.array(EgressTarget).default([]),
  }),
  z.strictObject({ ...common, kind: z.literal("storage.transient"), size: Size }),
  z.strictObject({
    ...common,
    kind: z.literal("storage.persistent"),
    size: Size,
    retention: z
      .strictObject({
        default: Duration,
        /** `files`: closed files, none of which holds anything older than itself, so that births can be measured. */
        measure: z.enum(["none", "files"]).default("none"),
      })
      .optional(),
    /** It writes each record into the slice of its time, so that the site can have the volume cut: see slice.ts. */
    slices: z.literal(true).optional(),
  }),
  z.strictObject({
    ...common,
    kind: z.literal("event.emit"),
    type: DottedName,
    audience: z.array(Audience).min(1),
    class: z.enum(["personal-data", "technical"]).default("technical"),
  }),
  z.strictObject({ ...common, kind: z.literal("event.consume"), type: DottedName }),
  z.strictObject({
    ...common,
    kind: z.literal("message.accept"),
    ...MessageShapes,
    /** Within which it is answered; the sender is told that it is late after that. */
    deadline: Duration.refine(
      (ms) => ms <= MAX_MESSAGE_DEADLINE_MS,
      `at most ${MAX_MESSAGE_DEADLINE_MS / 1000}s`,
    ).optional(),
  }),
  z.strictObject({ ...common, kind: z.literal("message.send"), ...MessageShapes }),
  z.strictObject({ ...common, kind: z.literal("find"), type: Name }),
  /** Both sides of a resource declare its type and how large one may be. */
  z.strictObject({ ...common, kind: z.literal("resource.publish"), type: DottedName, size: Size }),
  z.strictObject({ ...common, kind: z.literal("resource.receive"), type: DottedName, size: Size }),
  z.strictObject({
    ...common,
    kind: z.literal("ui"),
    title: z.string().min(1).max(60),
    path: z.string().startsWith("/").default("/"),
    roles: z.array(z.enum(["viewer", "analyst", "operator", "admin"])).min(1),
  }),
  z.strictObject({ ...common, kind: z.literal("capture.source") }),
  z.strictObject({ ...common, kind: z.literal("capture.output") }),
]);
export type Need = z.infer<typeof Need>;
export type NeedKind = Need["kind"];

export const ImageRecipe = z.strictObject({
  base: z.enum(["debian", "alpine"]),
  /** Release of the distribution; the builder's default where left out. */
  suite: z
    .string()
    .regex(/^[a-z0-9.-]+$/)
    .optional(),
  packages: z.array(z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/, "a distribution's package name")).default([]),
  /** Leave out what a container does not need (documentation, package manager, interpreters). */
  trim: z.boolean().default(false),
  /** Files of the package folder copied to /opt/instrument/files. */
  files: z.array(RelativePath).default([]),
});
export type ImageRecipe = z.infer<typeof ImageRecipe>;

export const Manifest = z.strictObject({
  apiVersion: z.literal("bulkhead/v1"),
  name: Name,
  version: z.string().regex(/^[0-9]+\.[0-9]+\.[0-9]+$/, "a version such as 1.0.0"),
  title: z.string().min(1).max(80),
  role: z.enum(["passive", "active", "helper", "manager"]),
  image: ImageRecipe,
  run: z.strictObject({
    /** argv; begins with an absolute path inside the container. */
    command: z
      .array(z.string().min(1))
      .min(1)
      .refine((c) => c[0]?.startsWith("/"), "begins with an absolute path"),
    capabilities: z.array(z.literal("NET_RAW")).default([]),
  }),
  resources: z.strictObject({
    memory: Size,
    cpu: z.number().positive().max(64),
    processes: z.int().min(4).max(4096),
  }),
  /** JSON Schema (draft 2020-12) of the operator's settings; strings of format `site-file` name files beside the site. */
  config: RelativePath.optional(),
  needs: z.array(Need),
});
export type Manifest = z.infer<typeof Manifest>;

/** The files of one package, as text: what is kept and sent of it. `image` is image.json. */
export const PackageTexts = z.strictObject({
  /** `suricata/instrument.yaml`, for messages. */
  manifestFile: z.string(),
  manifest: z.string(),
  /** JSON, or null where there is no such file. */
  configSchema: z.string().nullable(),
  image: z.string(),
});
export type PackageTexts = z.infer<typeof PackageTexts>;

/** What one package of the root-owned catalogue offers, as parsed. `digest` names the image that a grant is for. */
export interface CataloguePackage {
  readonly manifest: Manifest;
  readonly manifestFile: string;
  readonly manifestText: string;
  /** JSON Schema document, or null where the instrument takes no settings. */
  readonly configSchema: Readonly<Record<string, unknown>> | null;
  /** sha256 of the built image, hex. */
  readonly digest: string;
}
export type Catalogue = Readonly<Record<string, CataloguePackage>>;

function isJsonSchema(schema: Readonly<Record<string, unknown>>): boolean {
  if (schema["type"] !== "object") return false;
  try {
    z.fromJSONSchema(schema);
    return true;
  } catch {
    return false; // it says why in words of its own, which name no place
  }
}
