// An environment's page while its image is built: the state and the log as they grow.

import { $ } from "./dom.js";

const EVERY = 1000;
const NEAR = 40; // pixels from its end: whoever reads there follows

const section = $("#image");
const log = $("#build-log");

async function look() {
  const answer = await fetch(`${section.dataset.image}?after=${section.dataset.next}`);
  if (!answer.ok) throw new Error(answer.statusText);
  show(await answer.json());
}

function show(part) {
  const follows = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR;
  if (part.begins) log.textContent = "";
  log.append(part.text);
  if (follows) log.scrollTop = log.scrollHeight;
  const head = $("#image-head");
  // Who is about to press a button keeps it, until the state is another one.
  if (part.done || !head.contains(document.activeElement)) head.innerHTML = part.head;
  section.dataset.next = part.next;
  section.dataset.done = part.done;
}

async function follow() {
  while (section.dataset.done === "false") {
    await new Promise((done) => setTimeout(done, EVERY));
    if (!document.hidden) await look().catch(() => {}); // the next look may succeed
  }
}

log.scrollTop = log.scrollHeight;
follow();
