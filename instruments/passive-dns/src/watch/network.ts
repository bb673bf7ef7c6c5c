/**
 * Networks: one spelling for an address or CIDR, so that whether an address lies in one of very many
 * networks is a few exact look-ups, one for each length of prefix that occurs. Pure.
 */
import { isIPv4, isIPv6 } from "node:net";
import { normaliseTerm } from "../dns-record.ts";

export interface Network {
  /** `192.0.2.0/24`, or the address alone where it is one. */
  readonly text: string;
  readonly family: 4 | 6;
  readonly prefix: number;
}

/** An address or CIDR; null for anything else. */
export function parseNetwork(text: string): Network | null {
  const [address = "", length, ...more] = text.split("/");
  const family = familyOf(address);
  if (family === null || more.length > 0) return null;
  const bits = family === 4 ? 32 : 128;
  if (length === undefined) return { text: normaliseTerm(address), family, prefix: bits };
  if (!/^\d{1,3}$/.test(length) || Number(length) > bits) return null;
  const prefix = Number(length);
  return { text: networkOf(address, family, prefix), family, prefix };
}

/** The network of this length in which an address lies, spelled as `parseNetwork` does. */
export function networkOf(address: string, family: 4 | 6, prefix: number): string {
  const bits = family === 4 ? 32 : 128;
  if (prefix === bits) return normaliseTerm(address);
  const rest = BigInt(bits - prefix);
  const masked = ((family === 4 ? valueOf4(address) : valueOf6(address)) >> rest) << rest;
  return `${family === 4 ? text4(masked) : text6(masked)}/${prefix}`;
}

export function familyOf(address: string): 4 | 6 | null {
  if (isIPv4(address)) return 4;
  return isIPv6(address) && !address.includes("%") ? 6 : null;
}

function valueOf4(address: string): bigint {
  return address.split(".").reduce((value, part) => value * 256n + BigInt(part), 0n);
}

function text4(value: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join(".");
}

function valueOf6(address: string): bigint {
  // In the form of RFC 5952 there is no dotted part.
  const [head = "", tail] = normaliseTerm(address).split("::");
  const groups = (part: string) => (part === "" ? [] : part.split(":"));
  const [first, last] = [groups(head), groups(tail ?? "")];
  const all = [...first, ...Array<string>(8 - first.length - last.length).fill("0"), ...last];
  return all.reduce((value, group) => value * 65_536n + BigInt(`0x${group}`), 0n);
}

function text6(value: bigint): string {
  const groups = Array.from({ length: 8 }, (_, index) => (value >> BigInt(112 - 16 * index)) & 0xffffn);
  return normaliseTerm(groups.map((group) => group.toString(16)).join(":"));
}
