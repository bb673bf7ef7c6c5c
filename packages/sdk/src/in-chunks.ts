/** In chunks: the same bytes in pieces of one size, the last one smaller. */
export async function* inChunks(
  body: AsyncIterable<Uint8Array>,
  chunkBytes: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  for await (const piece of body) {
    held.push(piece);
    heldBytes += piece.length;
    if (heldBytes < chunkBytes) continue;
    const whole = Buffer.concat(held);
    let at = 0;
    for (; at + chunkBytes <= whole.length; at += chunkBytes) yield whole.subarray(at, at + chunkBytes);
    held = at < whole.length ? [whole.subarray(at)] : [];
    heldBytes = whole.length - at;
  }
  if (heldBytes > 0) yield Buffer.concat(held);
}
