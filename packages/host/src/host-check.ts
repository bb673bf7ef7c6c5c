/**
 * The result of one check of the host: data, rendered elsewhere.
 *
 * `absent` is what the host lacks and the platform does without, and is never shown as passed; `failed` stops set-up.
 */
export interface HostCheck {
  /** Stable, such as `kernel-xdp`. */
  readonly id: string;
  readonly state: "ok" | "absent" | "failed";
  /** What was found. */
  readonly detail: string;
  /** What to do; empty where nothing is. */
  readonly advice: string;
}

export function ok(id: string, detail: string): HostCheck {
  return { id, state: "ok", detail, advice: "" };
}

export function absent(id: string, detail: string, advice: string): HostCheck {
  return { id, state: "absent", detail, advice };
}

export function failed(id: string, detail: string, advice: string): HostCheck {
  return { id, state: "failed", detail, advice };
}
