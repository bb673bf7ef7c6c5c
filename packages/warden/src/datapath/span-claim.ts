/**
 * Whether a device of the host may become a span.
 *
 * Invariants: the host's own connectivity is never taken: a device with an address, in a bridge or bond, or the
 * loopback is refused; a device that another engine or installation holds is named together with its holder.
 * Reads only.
 */
import * as z from "zod";
import type { Commands } from "../commands.ts";
import { WardenError } from "../error.ts";
import { NamespaceCensus } from "./namespace-census.ts";
import { hostNamespace, observeLink } from "./namespace.ts";
import type { Link, NetworkNamespace } from "./namespace.ts";
import { parseSpanTag } from "./naming.ts";
import type { SpanId } from "./span.ts";

/**
 * The device as it is on the host, if it may be taken.
 *
 * @throws WardenError `datapath-span-absent`, `datapath-span-claimed`, `datapath-span-in-use`
 */
export async function refuseHostDevice(commands: Commands, slug: string, span: SpanId): Promise<Link> {
  const host = hostNamespace(commands);
  const link = await observeLink(host, span.device);
  if (link === undefined) throw await absence(commands, span);
  const holder = parseSpanTag(link.ifalias);
  if (holder !== null && holder.slug !== slug) {
    // It is on the host and still tagged: its holder lost it a moment ago and will take it again.
    throw claimed(span, holder.slug, holder.engine);
  }
  const reason = await useOf(host, link);
  if (reason !== null) {
    throw new WardenError("datapath-span-in-use", `${span.device} ${reason}`, {
      fields: { ...span, reason },
    });
  }
  return link;
}

const AddressList = z.array(
  z.object({ addr_info: z.array(z.object({ scope: z.string(), local: z.string().optional() })).default([]) }),
);

/** What the host uses the device for; null for nothing. Link-local addresses are the kernel's own doing. */
async function useOf(host: NetworkNamespace, link: Link): Promise<string | null> {
  if (link.link_type !== "ether") return "is no Ethernet device";
  if (link.master !== undefined) return `is a port of ${link.master}`;
  const { stdout } = await host.run(["ip", "-j", "addr", "show", "dev", link.ifname]);
  const address = AddressList.parse(JSON.parse(stdout || "[]"))
    .flatMap(({ addr_info: entries }) => entries)
    .find(({ scope }) => scope !== "link");
  return address ? `has the address ${address.local ?? "of a peer"}` : null;
}

async function absence(commands: Commands, span: SpanId): Promise<WardenError> {
  const views = await new NamespaceCensus(commands).take();
  const tags = views.flatMap(({ devices }) => devices).map((device) => parseSpanTag(device.ifalias));
  const holder = tags.find((tag) => tag?.device === span.device);
  if (holder) return claimed(span, holder.slug, holder.engine);
  return new WardenError("datapath-span-absent", `no device ${span.device}`, { fields: { ...span } });
}

function claimed(span: SpanId, slug: string, engine: string): WardenError {
  return new WardenError("datapath-span-claimed", `${span.device} is held by ${engine} of ${slug}`, {
    fields: { ...span, holderSlug: slug, holderEngine: engine },
  });
}
