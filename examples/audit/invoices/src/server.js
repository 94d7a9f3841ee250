// A small HTTP service: POST /totals with an invoice, get its sums.

import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

import { total } from "./totals.js";

async function body(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString("utf8"));
}

function answer(response, status, value) {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(value));
}

export function service() {
  return createServer(async (request, response) => {
    if (request.method !== "POST" || request.url !== "/totals") {
      return answer(response, 404, { error: "try POST /totals" });
    }
    try {
      return answer(response, 200, total(await body(request)));
    } catch (error) {
      return answer(response, 400, { error: error.message });
    }
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const port = Number(process.env.PORT ?? 3000);
  service().listen(port, () => console.log(`listening on ${port}`));
}
