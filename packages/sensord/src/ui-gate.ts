/**
 * UI gate: one `ui.sock` for each instrument whose UI the site grants. The instrument dials it;
 * which socket took the connection is who it is.
 *
 * Invariants: an instrument without the grant has no socket, and losing the grant ends what is
 * open. The newest connection counts: an instrument that was restarted takes over from its former
 * self. It carries nothing by itself (see ui-proxy.ts).
 */
import type { Socket } from "node:net";
import { join } from "node:path";
import type { Name } from "@bulkhead/schema";
import { TokenBucket } from "./bus/token-bucket.ts";
import type { Log } from "./log.ts";
import { DEFAULT_UI_LIMITS, type UiLimits } from "./ui-limits.ts";
import { UiSession } from "./ui-session.ts";
import { UnixListener } from "./unix-listener.ts";

const SOCKET_NAME = "ui.sock";
/** The instrument's user is another one on the host; the directory is what it can reach. */
const SOCKET_MODE = 0o666;
const MAX_CONNECTIONS = 4;

export interface UiGateOptions {
  readonly socketsDir: string;
  readonly log: Log;
  readonly limits?: UiLimits;
}

interface Door {
  readonly listener: UnixListener;
  readonly dials: TokenBucket;
  session: UiSession | null;
}

export class UiGate implements AsyncDisposable {
  readonly #options: UiGateOptions;
  readonly #limits: UiLimits;
  readonly #doors = new Map<Name, Door>();

  constructor(options: UiGateOptions) {
    this.#options = options;
    this.#limits = options.limits ?? DEFAULT_UI_LIMITS;
  }

  /** Opens and closes sockets so that exactly these instruments have one. */
  async grant(instruments: ReadonlySet<Name>): Promise<void> {
    const revoked = [...this.#doors.keys()].filter((name) => !instruments.has(name));
    for (const name of instruments) {
      if (!this.#doors.has(name)) this.#doors.set(name, this.#openDoor(name));
    }
    await Promise.all(revoked.map((name) => this.#closeDoor(name)));
  }

  /** Null where the instrument has no UI or has not dialled. */
  session(instrument: Name): UiSession | null {
    const session = this.#doors.get(instrument)?.session ?? null;
    return session?.usable === true ? session : null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.grant(new Set());
  }

  #openDoor(instrument: Name): Door {
    const { socketsDir, log } = this.#options;
    const { dialsPerSecond, dialBurst } = this.#limits;
    return {
      listener: new UnixListener({
        path: join(socketsDir, instrument, SOCKET_NAME),
        mode: SOCKET_MODE,
        maxConnections: MAX_CONNECTIONS,
        onConnection: (socket) => this.#take(instrument, socket),
        log,
      }),
      dials: new TokenBucket(dialsPerSecond, dialBurst, performance.now()),
      session: null,
    };
  }

  async #closeDoor(instrument: Name): Promise<void> {
    const door = this.#doors.get(instrument);
    this.#doors.delete(instrument);
    door?.session?.close("its UI is not granted any more");
    await door?.listener[Symbol.asyncDispose]();
  }

  #take(instrument: Name, socket: Socket): void {
    const door = this.#doors.get(instrument);
    if (door === undefined || !door.dials.tryTake(performance.now())) {
      socket.destroy();
      return;
    }
    const former = door.session;
    const session = new UiSession(socket, {
      limits: this.#limits,
      onClose: (reason) => {
        if (door.session === session) door.session = null;
        this.#options.log.info("UI disconnected", { instrument, reason });
      },
    });
    door.session = session;
    former?.close("the instrument dialled again");
    this.#options.log.info("UI connected", { instrument });
  }
}
