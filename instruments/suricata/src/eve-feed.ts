/**
 * EVE feed: from the FIFO that Suricata writes to the publisher, record by record, bytes untouched.
 *
 * A publisher that has no room stops the reading, the pipe fills, and Suricata waits. Lines that
 * are no whole record (what a killed Suricata left behind) are counted and left out.
 */
import { openLineSource, type InstrumentContext, type LineSource } from "@bulkhead/sdk";
import { parseEveHead } from "./eve-record.ts";

const MAX_RECORD_BYTES = 1024 * 1024;

type FeedContext = Pick<InstrumentContext, "publisher" | "log">;

/** @throws SdkError `sdk-line-source-failed` */
export function openEveFeed(path: string, context: FeedContext): Promise<LineSource> {
  let malformed = 0;
  return openLineSource({
    path,
    maxLineBytes: MAX_RECORD_BYTES,
    onError: (error) => context.log.error(`EVE cannot be read: ${error.message}`),
    take: async (lines) => {
      for (const record of lines) {
        const head = parseEveHead(record);
        if (head !== null) {
          const event = { type: `suricata.${head.type}`, time: head.time, record };
          if (!context.publisher.offer(event)) await context.publisher.room();
        } else if ((malformed += 1) === 1) {
          context.log.warn("a line in the EVE output is no whole record");
        }
      }
    },
  });
}
