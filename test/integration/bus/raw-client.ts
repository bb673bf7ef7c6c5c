/** A client of the bus that is no more than a socket: what it says is what the test says. */
import type { Socket } from "node:net";
import { eventually } from "@bulkhead/testkit";

/** Text over a socket, with all that came back. */
export class RawClient implements Disposable {
  readonly socket: Socket;
  received = "";
  closed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding("latin1").on("data", (text: string) => (this.received += text));
    socket.on("error", () => undefined); // a refused connection may be reset
    socket.on("close", () => (this.closed = true));
  }

  send(text: string): void {
    this.socket.write(text, "latin1");
  }

  /** Waits for `pattern` in what came since the beginning. */
  async until(pattern: RegExp): Promise<void> {
    await eventually(`${pattern} in ${this.received.slice(-300)}`, () => pattern.test(this.received));
  }

  async untilClosed(): Promise<void> {
    await eventually("the connection to be closed", () => this.closed);
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}
