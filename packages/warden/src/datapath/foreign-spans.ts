/**
 * Devices that other installations of this host hold as spans: for the plan to name the holder,
 * where a device would otherwise just be absent. Reads only.
 */
import type { Commands } from "../commands.ts";
import { observeNamedLinks } from "./engine-namespace.ts";
import { parseSpanTag } from "./naming.ts";

export async function observeForeignSpans(
  commands: Commands,
  slug: string,
): Promise<readonly { readonly device: string; readonly slug: string }[]> {
  return (await observeNamedLinks(commands)).flatMap((link) => {
    const tag = parseSpanTag(link.ifalias);
    return tag !== null && tag.slug !== slug ? [{ device: tag.device, slug: tag.slug }] : [];
  });
}
