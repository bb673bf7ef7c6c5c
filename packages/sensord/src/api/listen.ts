/**
 * Listens with the API on its own socket, mode 0600: only the installation's user and root can
 * open it. What a killed sensord left is removed; a socket that somebody answers on is not.
 */
import { chmod, lstat, unlink } from "node:fs/promises";
import { createConnection } from "node:net";
import type { FastifyInstance } from "fastify";
import { SensordError } from "../error.ts";

const SOCKET_MODE = 0o600;

/** Throws `api-socket-in-use`, `api-not-listening`. */
export async function listenOnSocket(server: FastifyInstance, path: string): Promise<void> {
  if (await isSocket(path)) {
    if (await isAnswered(path)) {
      throw new SensordError("api-socket-in-use", `another process answers on ${path}`);
    }
    await unlink(path);
  }
  try {
    // Without write permission for others nobody else can connect, from the first moment on.
    await server.listen({ path, readableAll: false, writableAll: false });
    await chmod(path, SOCKET_MODE);
  } catch (cause) {
    throw new SensordError("api-not-listening", `the API cannot listen on ${path}`, { cause });
  }
}

async function isSocket(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isSocket();
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
    throw error;
  }
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
