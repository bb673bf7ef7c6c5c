/** Whether somebody serves a socket; that its file or port exists says nothing. */
import { connect } from "node:net";
import { systemErrorCode } from "./error.ts";

/** Whether somebody accepts connections on a Unix socket. */
export async function isListening(socketPath: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ path: socketPath });
  socket.once("connect", () => {
    resolve(true);
    socket.destroy();
  });
  socket.once("error", () => resolve(false));
  return promise;
}

/** What the listener on a loopback port says first, empty if nothing within a second; undefined if nobody listens. */
export async function readGreeting(port: number): Promise<string | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<string | undefined>();
  const socket = connect({ host: "127.0.0.1", port });
  socket.setTimeout(1000, () => {
    resolve("");
    socket.destroy();
  });
  socket.once("data", (data) => {
    resolve(data.toString("latin1"));
    socket.destroy();
  });
  socket.once("end", () => resolve(""));
  socket.once("error", (error) => {
    if (systemErrorCode(error) === "ECONNREFUSED") resolve(undefined);
    else reject(error);
  });
  return promise;
}
