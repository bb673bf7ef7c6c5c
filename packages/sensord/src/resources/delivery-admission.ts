/** Delivery admission: whether a delivery may begin, by what its sender declared and has already. Pure. */
import type { DeliveryOpen, DeliveryRefusal, Name } from "@bulkhead/schema";
import type { ResourceLimits } from "./limits.ts";
import { publishableBytes, type ResourceRights, routesOf } from "./resource-rights.ts";

export interface Refusal {
  readonly refusal: DeliveryRefusal;
  readonly message: string;
}

export interface Admission {
  readonly from: Name;
  readonly request: DeliveryOpen;
  readonly rights: ResourceRights;
  readonly limits: ResourceLimits;
  /** What else of this sender is under way; `opening` of them are no more than asked for yet. */
  readonly underWay: readonly { readonly request: DeliveryOpen }[];
  readonly opening: number;
  /** What it has published under other names. */
  readonly has: { readonly names: number; readonly bytes: number };
}

/** Null: it may begin, as far as no disk is asked. */
export function admissionFault(admission: Admission): Refusal | null {
  const { from, request, rights, limits, underWay, opening, has } = admission;
  const { type, sizeBytes } = request;
  const maxBytes = publishableBytes(rights, from, type);
  if (maxBytes === null) {
    return { refusal: "not-declared", message: `it does not declare publishing ${type}` };
  }
  if (sizeBytes > maxBytes)
    return { refusal: "too-large", message: `a ${type} may have at most ${maxBytes} bytes` };
  if (underWay.length + opening >= limits.deliveries)
    return { refusal: "busy", message: `at most ${limits.deliveries} deliveries at one time` };
  if (has.names + underWay.length >= limits.names)
    return { refusal: "quota", message: `at most ${limits.names} resources` };
  const comingBytes = underWay.reduce((sum, each) => sum + each.request.sizeBytes, 0);
  if (has.bytes + comingBytes + sizeBytes > limits.bytes)
    return { refusal: "quota", message: `at most ${limits.bytes} bytes in all of its resources` };
  return null;
}

/** Of a delivery and its copies. */
export function wholeBytes(rights: ResourceRights, from: Name, { type, sizeBytes }: DeliveryOpen): number {
  return sizeBytes * (1 + routesOf(rights, from, type).length);
}
