/**
 * Rule Manager: combines the feeds that it is given with the operator's rules into a set for each IDS,
 * has the IDS try it, and brings it into force or leaves what there is.
 */
import { join } from "node:path";
import { errorText, runInstrument } from "@bulkhead/sdk";
import { ruleManagerApi } from "./api.ts";
import { readConfiguration } from "./conf-files.ts";
import { FeedIntake } from "./feed/feed-intake.ts";
import { idsOverBus } from "./ids-over-bus.ts";
import { Manager } from "./manager.ts";
import { Roller } from "./roller.ts";
import { Settings } from "./settings.ts";
import { SetFiles } from "./store/set-files.ts";
import { Store } from "./store/store.ts";

const FEED_TYPE = "ruleset.feed";
const TICK_MS = 30_000;
const RETRY_MS = 3_000;

runInstrument({
  config: Settings,
  async start(context) {
    const dir = join(context.environment.dataDir, "rules");
    const store = new Store(join(dir, "rule-manager.sqlite"));
    const files = await SetFiles.open(dir);
    const ids = idsOverBus(context);
    const now = (): string => new Date().toISOString();
    const say = (words: string): void => context.log.info(words);
    const roller = new Roller({ store, files, ids, now, say, retryMs: RETRY_MS });
    const manager = new Manager({
      store,
      files,
      feeds: new FeedIntake({ store, files, say }),
      roller,
      now,
      say,
      // What waits or was refused is no failure of its own: what is in force goes on.
      onChange: (attention) => context.health.ready(attention),
    });
    const tick = async (): Promise<void> => {
      try {
        await manager.goOn();
        const peers = await ids.peers();
        if (peers !== null) await manager.catchUp(peers);
      } catch (error) {
        context.log.error(`the rollout stands still: ${errorText(error)}`);
      }
    };
    const timer = setInterval(() => void tick(), TICK_MS);
    context.receive({ type: FEED_TYPE, handle: (resource) => manager.takeFeed(resource) });
    context.serveUi(ruleManagerApi(store, manager));
    context.retain({
      purge: (before) => store.purge(before.toISOString()),
      oldest: () => {
        const oldest = store.oldestEnded();
        return oldest === null ? null : new Date(oldest);
      },
    });
    void tick();
    return {
      apply: async (settings, command) => {
        const read = await readConfiguration(settings, command, context.environment.inboxDir);
        if (read.kind === "missing") {
          const faults = read.files.map((file) => ({ file, message: "was not delivered" }));
          return { outcome: "refused", faults };
        }
        manager.configure(read.configuration);
        return { outcome: "applied" };
      },
      stop: () => {
        clearInterval(timer);
        store[Symbol.dispose]();
      },
    };
  },
});
