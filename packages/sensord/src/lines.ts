/**
 * Lines: newline-delimited JSON, read with a bound on the length of a line and written with
 * back-pressure. It does not parse what is in a line.
 */
import { StringDecoder } from "node:string_decoder";
import { SensordError } from "./error.ts";

/**
 * Non-empty lines of a byte stream. Throws `line-too-long` when a line has more than `maxChars`;
 * what stands after the last newline is not a line: the writer was cut off there.
 */
export async function* readLines(
  source: AsyncIterable<Uint8Array>,
  maxChars: number,
): AsyncGenerator<string, void, undefined> {
  const decoder = new StringDecoder("utf8");
  let pending = "";
  for await (const chunk of source) {
    pending += decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    let start = 0;
    for (let end = pending.indexOf("\n"); end >= 0; end = pending.indexOf("\n", start)) {
      const line = pending.slice(start, end);
      start = end + 1;
      if (line !== "") yield line;
    }
    pending = pending.slice(start);
    if (pending.length > maxChars) {
      throw new SensordError("line-too-long", `a line has more than ${maxChars} characters`);
    }
  }
}

/** Each record as one line of JSON. */
export async function* renderLines(records: AsyncIterable<unknown>): AsyncGenerator<string, void, undefined> {
  for await (const record of records) yield `${JSON.stringify(record)}\n`;
}
