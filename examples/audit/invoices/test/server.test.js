import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { service } from "../src/server.js";

const server = service();
let url;

before(async () => {
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  url = `http://127.0.0.1:${server.address().port}/totals`;
});

after(() => server.close());

const post = (text) => fetch(url, { method: "POST", body: text });

test("it answers the sums of an invoice", async () => {
  const invoice = { lines: [{ quantity: 3, cents: 333 }], taxPercent: 10 };
  const response = await post(JSON.stringify(invoice));
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), { net: 999, tax: 100, gross: 1099 });
});

test("it refuses what is no JSON", async () => {
  assert.equal((await post("{")).status, 400);
});

test("it knows no other address", async () => {
  const response = await fetch(url.replace("totals", "nothing"));
  assert.equal(response.status, 404);
});
