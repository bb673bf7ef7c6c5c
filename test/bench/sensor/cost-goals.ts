/** Goals of the cost of an idle sensor. MB are 10^6 bytes of PSS. */
import type { Goal } from "../result.ts";

export const PLATFORM_GOAL: Goal = {
  on: "value",
  op: "<=",
  value: 200,
  note: "warden, sensord and the broker together, idle",
  heldBack: "two Node processes of their own: the heap that each keeps after its start",
};

export const SHELL_GOAL: Goal = {
  on: "value",
  op: "<=",
  value: 15,
  note: "an instrument without an agent: the runtime's monitor and the container's init",
  heldBack: "the runtime's monitor, one process for each container",
};

export const AGENT_GOAL: Goal = {
  on: "value",
  op: "<=",
  value: 45,
  note: "an instrument beyond its tool, with an agent of ours in it",
  heldBack:
    "the agent is a Node process of its own: its heap, and the pages that each container has for itself",
};

export const CPU_GOAL: Goal = {
  on: "value",
  op: "<=",
  value: 1,
  note: "of a core, idle",
  heldBack: "what is looked at on a timer: health, counters, and the state of kernel and runtime",
};
