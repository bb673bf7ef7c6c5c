/**
 * What is read of the container runtime's answers: only the fields used, so that both runtimes and later versions fit.
 *
 * Source: LXD's doc/rest-api.yaml. Nothing here is written by an instrument; it is checked all the same, because a
 * runtime of another kind or age may answer on that socket.
 */
import * as z from "zod";

/** The envelope of every answer: sync, async (an operation began) or error. */
export const Envelope = z.discriminatedUnion("type", [
  z.object({ type: z.literal("sync"), metadata: z.unknown() }),
  z.object({ type: z.literal("async"), operation: z.string().startsWith("/1.0/operations/") }),
  z.object({ type: z.literal("error"), error: z.string(), error_code: z.int() }),
]);

export const Server = z.object({
  api_extensions: z.array(z.string()),
  auth: z.string(),
  environment: z.object({ server: z.string() }),
});

export const Operation = z.object({
  status: z.string(),
  status_code: z.int(),
  err: z.string(),
  metadata: z.record(z.string(), z.unknown()).nullish(),
});
export type Operation = z.infer<typeof Operation>;

const Strings = z.record(z.string(), z.string());

export const Instance = z.object({
  name: z.string(),
  status: z.string(),
  type: z.string(),
  profiles: z.array(z.string()).nullable(),
  config: Strings,
  expanded_config: Strings,
  expanded_devices: z.record(z.string(), Strings),
});
export type Instance = z.infer<typeof Instance>;

export const InstanceState = z.object({ status: z.string(), pid: z.int() });
export type InstanceState = z.infer<typeof InstanceState>;

export const Image = z.object({ fingerprint: z.string().regex(/^[0-9a-f]{64}$/) });
export const StoragePool = z.object({ name: z.string(), driver: z.string(), config: Strings });
export const Project = z.object({ name: z.string(), config: Strings });

/** One message of the events stream. */
export const EventMessage = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("lifecycle"),
    project: z.string().optional(),
    metadata: z.object({ action: z.string(), source: z.string() }),
  }),
  z.object({
    type: z.literal("operation"),
    project: z.string().optional(),
    metadata: z.object({ id: z.string(), status: z.string(), description: z.string() }),
  }),
]);
