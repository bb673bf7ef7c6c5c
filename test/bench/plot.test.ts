import assert from "node:assert/strict";
import { test } from "node:test";
import { renderPlot } from "./plot.ts";
import { type Report, resultOf } from "./result.ts";
import { renderReport } from "./table.ts";

const goals = [{ on: "tc", op: ">=", value: 0.95, note: "of bare tc", heldBack: "the guards" } as const];
const report: Report = {
  bench: "sensor",
  host: {
    cpu: "a processor",
    cores: 2,
    kernel: "6.18",
    system: "Debian",
    memoryBytes: 4e9,
    node: "v24",
    loadBefore: 0.1,
  },
  results: [
    resultOf({ id: "datapath.1x60", unit: "frames/s", samples: [90], beside: { tc: [100] }, goals }),
    resultOf({ id: "time.restart", unit: "s", samples: [1.5] }),
  ],
};

test("a plot is an SVG that names each result and what stands beside it", async () => {
  const svg = await renderPlot(report);
  assert.match(svg, /^<svg [^>]*xmlns="http:\/\/www.w3.org\/2000\/svg"/);
  for (const words of ["datapath.1x60", "time.restart", "tc", "a processor"])
    assert.ok(svg.includes(words), words);
  assert.ok(svg.includes("#b45309"), "the aim that is not met has its colour");
});

test("a table shows every aim, and why one is not met", () => {
  const text = renderReport(report);
  assert.match(text, /datapath\.1x60 .*tc 100 \(0\.9\)/);
  assert.match(text, /0 of 1 aims are met/);
  assert.match(text, /not met.* datapath\.1x60: tc >= 0\.95: of bare tc; held back: the guards/);
});
