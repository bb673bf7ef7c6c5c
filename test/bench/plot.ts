/**
 * Plot of results as SVG: each result a panel, its value with quartiles beside what it is compared with, and the
 * aims as lines. Drawn by Vega-Lite, which needs no browser for it.
 */
import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import type { Report, Result } from "./result.ts";

const OURS = "Bulkhead";
const COLUMNS = 3;
const PANEL = { width: 300, barHeight: 15 } as const;
const COLOURS = { ours: "#0f766e", other: "#94a3b8", met: "#15803d", unmet: "#b45309" } as const;

export async function renderPlot(report: Report): Promise<string> {
  const view = new View(parse(compile(planPlot(report)).spec), { renderer: "none" });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

/** The plot as a Vega-Lite document. Pure. */
export function planPlot({ bench, host, results }: Report): TopLevelSpec {
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    title: {
      text: `Bulkhead bench: ${bench}`,
      subtitle: `${host.cpu}, ${host.cores} cores, kernel ${host.kernel}; bars are medians, lines quartiles, ticks aims`,
      anchor: "start",
    },
    config: { font: "sans-serif", view: { stroke: null }, axis: { labelFontSize: 10, titleFontSize: 10 } },
    background: "white",
    columns: COLUMNS,
    spacing: 24,
    concat: results.map(planPanel),
  } as TopLevelSpec; // the type does not know that spacing goes with concat
}

function planPanel(result: Result): object {
  const bars = [
    { name: OURS, value: result.value, low: result.spread[0], high: result.spread[1] },
    ...Object.entries(result.beside).map(([name, value]) => ({ name, value, low: null, high: null })),
  ];
  const y = { field: "name", type: "nominal", sort: null, title: null };
  const x = { field: "value", type: "quantitative", title: result.unit };
  return {
    title: { text: result.id, fontSize: 11, anchor: "start" },
    width: PANEL.width,
    height: { step: PANEL.barHeight },
    layer: [
      {
        data: { values: bars },
        mark: { type: "bar", height: { band: 0.7 } },
        encoding: {
          y,
          x,
          color: {
            condition: { test: `datum.name === '${OURS}'`, value: COLOURS.ours },
            value: COLOURS.other,
          },
        },
      },
      {
        data: { values: bars.filter(({ low }) => low !== null) },
        mark: { type: "rule", size: 2, color: "black" },
        encoding: { y, x: { ...x, field: "low" }, x2: { field: "high" } },
      },
      {
        data: { values: aimTicks(result) },
        mark: { type: "tick", thickness: 2, height: { band: 1 } },
        encoding: {
          y,
          x: { ...x, field: "at" },
          color: { condition: { test: "datum.met", value: COLOURS.met }, value: COLOURS.unmet },
        },
      },
    ],
  };
}

/** Where the value would have to be. */
function aimTicks({ aims, beside }: Result): readonly object[] {
  return aims.flatMap(({ on, value, met }) => {
    const at = on === "value" ? value : (beside[on] ?? Number.NaN) * value;
    return Number.isFinite(at) ? [{ name: OURS, at, met }] : [];
  });
}
