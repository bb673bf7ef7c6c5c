/**
 * Devices that other installations of this host hold as spans: for the plan to name the holder,
 * where a device would otherwise just be absent. Pure.
 */
import type { NamespaceView } from "./namespace-census.ts";
import { parseSpanTag } from "./naming.ts";

export function foreignSpansOf(
  views: readonly NamespaceView[],
  slug: string,
): readonly { readonly device: string; readonly slug: string }[] {
  return views
    .flatMap(({ devices }) => devices)
    .flatMap((device) => {
      const tag = parseSpanTag(device.ifalias);
      return tag !== null && tag.slug !== slug ? [{ device: tag.device, slug: tag.slug }] : [];
    });
}
