import assert from "node:assert/strict";
import { test } from "node:test";

import { discounted, subtotal, tax, total } from "../src/totals.js";

test("it sums the lines", () => {
  const lines = [{ quantity: 2, cents: 1999 }, { quantity: 1, cents: 500 }];
  assert.equal(subtotal(lines), 4498);
});

test("an invoice without lines comes to nothing", () => {
  assert.deepEqual(total({ lines: [] }), { net: 0, tax: 0, gross: 0 });
});

test("it takes the discount off before tax", () => {
  assert.equal(discounted(10000, 15), 8500);
});

test("it refuses a discount above 100 %", () => {
  assert.throws(() => discounted(100, 101), RangeError);
});

test("it rounds tax to the nearest cent", () => {
  assert.equal(tax(1999, 22), 440); // 439.78
  assert.equal(tax(1001, 22), 220); // 220.22
});

test("net and tax make gross", () => {
  const lines = [{ quantity: 1, cents: 1999 }];
  assert.deepEqual(total({ lines }), { net: 1999, tax: 440, gross: 2439 });
});
