/** Echo honeypot: listens where the site lets it, echoes, and keeps and emits one record for each who came. */
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { runInstrument } from "@bulkhead/sdk";
import { type Contact, serveContact } from "./contact.ts";
import { ContactStore } from "./contact-store.ts";
import { Settings } from "./settings.ts";

const MAX_CONNECTIONS = 64;
/** Where the site does not have the volume cut. */
const SLICE_MS = 86_400_000;

runInstrument({
  config: Settings,
  async start(context) {
    const store = new ContactStore(await context.slices("contacts", { lengthMs: SLICE_MS }));
    context.retain(store);
    /** Said once: the events go out all the same. */
    let missed = "";
    const record = async (contact: Contact): Promise<void> => {
      const time = new Date();
      const outcome = await store.add(contact, time).catch((error: unknown) => String(error));
      if (outcome !== "kept" && outcome !== missed) context.log.warn(`a contact was not kept: ${outcome}`);
      missed = outcome;
      await context.emit("echo-honeypot.contact", contact, time);
    };
    let servers: readonly Server[] = [];
    const close = (): void => {
      for (const server of servers) server.close();
      servers = [];
    };
    return {
      async apply({ ports, keepBytes }) {
        close();
        const next = ports.map((port) => {
          const server = createServer({ allowHalfOpen: true }, (socket) => {
            void serveContact(socket, keepBytes).then(record);
          });
          server.maxConnections = MAX_CONNECTIONS;
          // Both families; where IPv6 is off, a socket for it still takes IPv4.
          server.listen({ port, host: "::" });
          return server;
        });
        await Promise.all(next.map((server) => once(server, "listening")));
        servers = next;
        context.health.ready(`listens on ${ports.join(", ")}`);
      },
      stop: close,
    };
  },
});
