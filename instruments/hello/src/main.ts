/** The process of hello. */
import { runInstrument } from "@bulkhead/sdk";
import { agent } from "./agent.ts";

runInstrument(agent);
