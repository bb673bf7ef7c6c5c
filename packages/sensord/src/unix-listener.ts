/**
 * Unix listener: keeps one socket listening at a path whose directory belongs to somebody else.
 *
 * The directory may not be there yet, and may be made anew while we listen: the listener looks
 * again every now and then, and listens anew when the socket at the path is not its own. Only a
 * socket is ever removed to make room, never another kind of file.
 */
import { chmod, lstat, unlink } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { describeError, type Log } from "./log.ts";
import { pause } from "./pause.ts";

const LOOK_EVERY_MS = 2000;

export interface UnixListenerOptions {
  readonly path: string;
  readonly mode: number;
  readonly maxConnections: number;
  readonly onConnection: (socket: Socket) => void;
  readonly log: Log;
}

export class UnixListener implements AsyncDisposable {
  readonly #options: UnixListenerOptions;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  #open: { readonly server: Server; readonly inode: number } | null = null;
  #trouble = "";

  constructor(options: UnixListenerOptions) {
    this.#options = options;
    this.#done = this.#keep(this.#stop.signal);
  }

  get listening(): boolean {
    return this.#open !== null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#done;
    this.#close();
  }

  async #keep(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#look();
        this.#trouble = "";
      } catch (error) {
        this.#say(error);
      }
      await pause(LOOK_EVERY_MS, signal);
    }
  }

  async #look(): Promise<void> {
    const { path, mode } = this.#options;
    const found = await statOrNull(path);
    if (this.#open !== null && found?.ino === this.#open.inode) return;
    this.#close();
    // After closing: Node removes the name of a server that it closes, whosever it is by now.
    if ((await statOrNull(path))?.isSocket() === true) await unlink(path);
    const server = await listen(path, this.#options);
    this.#open = { server, inode: (await lstat(path)).ino };
    await chmod(path, mode);
  }

  /** Closing takes the name away at once; connections outlive it, and their owner ends them. */
  #close(): void {
    this.#open?.server.close();
    this.#open = null;
  }

  #say(error: unknown): void {
    const fields = describeError(error);
    if (fields["error"] === this.#trouble) return;
    this.#trouble = String(fields["error"]);
    this.#options.log.info("not listening yet", { path: this.#options.path, ...fields });
  }
}

function listen(path: string, options: UnixListenerOptions): Promise<Server> {
  const server = createServer(options.onConnection);
  server.maxConnections = options.maxConnections;
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      server.on("error", (error) => options.log.warn("listener", { path, ...describeError(error) }));
      resolve(server);
    });
  });
}

async function statOrNull(path: string) {
  try {
    return await lstat(path);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}
