/**
 * Unix transport: the NATS client's own Node transport, dialling a Unix socket in place of TCP.
 *
 * Invariants: only the dial differs; parsing, reconnects and back-off stay the client's. The
 * socket's path travels in the connection options, so that several connections of one process may
 * go to different sockets although the client has one transport factory.
 */
import { createConnection, type Socket } from "node:net";
import {
  NatsConnectionImpl,
  setTransportFactory,
  type ConnectionOptions,
  type NatsConnection,
} from "@nats-io/transport-node";
import { NodeTransport } from "@nats-io/transport-node/lib/node_transport.js";

/** Connects a NATS client over a Unix socket. @throws what the client throws on a first failed connect. */
export function connectUnix(socketPath: string, options: ConnectionOptions): Promise<NatsConnection> {
  setTransportFactory({ factory: () => new UnixTransport() });
  const withPath: UnixOptions = { ...options, servers: "127.0.0.1:4222", socketPath };
  return NatsConnectionImpl.connect(withPath);
}

interface UnixOptions extends ConnectionOptions {
  readonly socketPath?: string;
}

class UnixTransport extends NodeTransport {
  override dial(server: { readonly hostname: string; readonly port: number }): Promise<Socket> {
    // The client hands its options to the transport unchanged; connectUnix put the path there.
    const { socketPath } = this.options as UnixOptions;
    // The factory is the whole process's: other connections reconnect through it as well.
    if (socketPath === undefined) return super.dial(server);
    const { promise, resolve, reject } = Promise.withResolvers<Socket>();
    const socket = createConnection(socketPath);
    socket.once("connect", () => {
      socket.removeAllListeners();
      resolve(socket);
    });
    socket.once("error", (error) => {
      socket.destroy();
      reject(error);
    });
    return promise;
  }
}
