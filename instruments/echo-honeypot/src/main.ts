/** Echo honeypot: listens where the site lets it, echoes, and emits one event for each who came. */
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { runInstrument } from "@bulkhead/sdk";
import { serveContact } from "./contact.ts";
import { Settings } from "./settings.ts";

const MAX_CONNECTIONS = 64;

runInstrument({
  config: Settings,
  start(context) {
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
            void serveContact(socket, keepBytes).then((contact) =>
              context.emit("echo-honeypot.contact", contact),
            );
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
