import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { SILENT } from "../log.ts";
import { BytePrice, DEAREST, nextPrice, parseProcessorTimes } from "./byte-price.ts";

const stat = (busy: number, idle: number): string =>
  `cpu  ${busy} 0 0 ${idle} 0 0 0 0 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\nintr 1\n`;

suite("byte price", () => {
  test("idle processors, and those that wait for a disk, are told from busy ones", () => {
    const text = "cpu  1 2 3 40 5 6 7 8 100 100\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
    assert.deepEqual(parseProcessorTimes(text), { idle: 45, total: 72 });
    assert.throws(() => parseProcessorTimes("intr 1\n"), TypeError);
  });

  test("it rises to its bound while none is idle, holds between, and falls to one", () => {
    let price = 1;
    for (let look = 0; look < 5; look += 1) price = nextPrice(price, 0);
    assert.equal(price, DEAREST);
    assert.equal(nextPrice(price, 0.2), price);
    for (let look = 0; look < 50; look += 1) price = nextPrice(price, 0.9);
    assert.equal(price, 1);
  });

  test("it follows what the host says, and stays where the host says nothing", async () => {
    const warned: string[] = [];
    let text = stat(0, 0);
    const log = { ...SILENT, warn: (message: string) => void warned.push(message) };
    using price = new BytePrice(log, async () => text);
    await price.look();
    text = stat(100, 0);
    await price.look();
    assert.equal(price.current, 2);
    text = "";
    await price.look();
    await price.look();
    assert.equal(price.current, 2);
    assert.equal(warned.length, 1);
  });
});
