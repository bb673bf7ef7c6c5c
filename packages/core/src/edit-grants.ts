/**
 * Editing grants in the text of a site: one entry is added or taken away, and everything else stays as
 * its author wrote it, comments and order included. Pure.
 */
import { type Document, isMap, isSeq, parseDocument, YAMLMap, YAMLSeq } from "yaml";

export const GRANT_KINDS = ["event", "message", "resource"] as const;

export interface GrantEdit {
  readonly kind: (typeof GRANT_KINDS)[number];
  readonly from: string;
  /** The event's or resource's type, or the message's verb. */
  readonly name: string;
  readonly to: string;
}

/** `unchanged`: granted already, or not granted. `unreadable`: the text is no YAML map, or `grants` is none. */
export type GrantEditOutcome =
  | { readonly outcome: "changed"; readonly text: string }
  | { readonly outcome: "unchanged" }
  | { readonly outcome: "unreadable"; readonly message: string };

export function addGrant(text: string, edit: GrantEdit): GrantEditOutcome {
  const read = readDocument(text, edit);
  if (!read.ok) return read;
  const { document, list } = read;
  if (indexOf(list, edit) >= 0) return { outcome: "unchanged" };
  const entry = document.createNode(entryOf(edit), { flow: true });
  if (list === null) {
    if (!document.has("grants")) document.set("grants", new YAMLMap());
    const made = new YAMLSeq();
    made.add(entry);
    document.setIn(["grants", keyOf(edit)], made);
  } else list.add(entry);
  return { outcome: "changed", text: asWritten(text, render(document)) };
}

export function removeGrant(text: string, edit: GrantEdit): GrantEditOutcome {
  const read = readDocument(text, edit);
  if (!read.ok) return read;
  const { document, list } = read;
  const index = indexOf(list, edit);
  if (list === null || index < 0) return { outcome: "unchanged" };
  // The same grant may stand there twice.
  for (let at = index; at >= 0; at = indexOf(list, edit)) list.delete(at);
  if (list.items.length === 0) document.deleteIn(["grants", keyOf(edit)]);
  const grants = document.get("grants");
  if (isMap(grants) && grants.items.length === 0) document.delete("grants");
  return { outcome: "changed", text: asWritten(text, render(document)) };
}

type Read =
  | { readonly ok: true; readonly document: Document; readonly list: YAMLSeq | null }
  | { readonly ok: false; readonly outcome: "unreadable"; readonly message: string };

function readDocument(text: string, edit: GrantEdit): Read {
  const document = parseDocument(text);
  const unreadable = (message: string): Read => ({ ok: false, outcome: "unreadable", message });
  const [error] = document.errors;
  if (error !== undefined) return unreadable(error.message.split("\n")[0] ?? "no YAML");
  if (!isMap(document.contents)) return unreadable("it is no map");
  const grants = document.get("grants");
  if (grants === undefined || grants === null) return { ok: true, document, list: null };
  if (!isMap(grants)) return unreadable("grants is no map");
  const list = grants.get(keyOf(edit));
  if (list === undefined || list === null) return { ok: true, document, list: null };
  return isSeq(list) ? { ok: true, document, list } : unreadable(`grants.${keyOf(edit)} is no list`);
}

function indexOf(list: YAMLSeq | null, edit: GrantEdit): number {
  const wanted = Object.entries(entryOf(edit));
  return (list?.items ?? []).findIndex(
    (item) => isMap(item) && wanted.every(([key, value]) => item.get(key) === value),
  );
}

function entryOf({ kind, from, name, to }: GrantEdit): Readonly<Record<string, string>> {
  return kind === "message" ? { from, verb: name, to } : { from, type: name, to };
}

function keyOf({ kind }: GrantEdit): "events" | "messages" | "resources" {
  return `${kind}s`;
}

function render(document: Document): string {
  return document.toString({ lineWidth: 0, flowCollectionPadding: true });
}

/** The edited text with its author's own spacing in all lines that the edit left alone. */
function asWritten(text: string, edited: string): string {
  const written = text.split("\n");
  const before = render(parseDocument(text)).split("\n");
  const after = edited.split("\n");
  // Rendering folded or joined lines: which is which cannot be told.
  if (before.length !== written.length) return edited;
  const most = Math.min(before.length, after.length);
  let head = 0;
  while (head < most && before[head] === after[head]) head += 1;
  let tail = 0;
  while (tail < most - head && before.at(-1 - tail) === after.at(-1 - tail)) tail += 1;
  return [
    ...written.slice(0, head),
    ...after.slice(head, after.length - tail),
    ...written.slice(written.length - tail),
  ].join("\n");
}
