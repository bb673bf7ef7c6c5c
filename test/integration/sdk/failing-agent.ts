/** An instrument that throws where nobody catches, a moment after it is ready. */
import { runInstrument } from "@bulkhead/sdk";
import * as z from "zod";

runInstrument({
  config: z.strictObject({}),
  start(context) {
    context.health.ready();
    setTimeout(() => {
      throw new Error("the tool is gone");
    }, 50);
    return {};
  },
});
