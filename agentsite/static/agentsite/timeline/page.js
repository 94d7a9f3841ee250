// The session page: its parts, and how what the socket says reaches them.

import { $, $$, clockTime } from "../dom.js";
import { compose, decider, stopper } from "./composer.js";
import { Earlier } from "./earlier.js";
import { Find } from "./find.js";
import { Header } from "./header.js";
import { Inspector } from "./inspector.js";
import { listen } from "./keys.js";
import { Network, hideAllowed } from "./network.js";
import { Preview } from "./preview.js";
import { Stream } from "./stream.js";
import { Threads } from "./threads.js";
import { Transcript } from "./transcript.js";

const page = $("#session");
const ENDS = new Set(["idle", "terminated", "rescheduled"].map((end) => `session.${page.dataset.thread ? "thread_" : ""}status_${end}`));
const transcript = new Transcript($("#transcript"), $("#jump"));
const preview = new Preview($("#preview"), transcript);
const header = new Header(JSON.parse($("#session-state").textContent));
const inspector = new Inspector(page, transcript);
const find = new Find($("#find"), transcript);
const stop = stopper($("#stop-form"));

const threads = new Threads($("#threads"));

new Network($("#network"));
new Earlier(page.dataset.id, page.dataset.thread, transcript);
compose($("#composer"), page.dataset.id, () => transcript.follow());
decider($("#decide"));
decider($("#allow-host"));
hideAllowed(transcript);
listen({ transcript, find, inspector, stop, threads });
$("#jump").addEventListener("click", () => transcript.follow());

function showOnly(kind) {
  transcript.root.dataset.show = kind;
  for (const button of $$("[data-show]", $("#filter"))) {
    button.setAttribute("aria-pressed", String(button.dataset.show === kind));
  }
  transcript.settle();
}
$("#filter").addEventListener("click", (event) => {
  const button = event.target.closest("[data-show]");
  if (button) showOnly(button.dataset.show);
});

function showNothing() {
  const any = Boolean($(".row, .rule", transcript.root));
  $("#nothing").hidden = any;
  // Looking at what is laid out is dear: it is done only where something is filtered.
  const filtered = any && transcript.root.dataset.show !== "all";
  $("#nothing-shown").hidden = !filtered || $$(".row, .rule", transcript.root).some((row) => row.offsetParent);
}
transcript.onChange(showNothing);

const wanted = new URLSearchParams(location.search).get("event") || location.hash.slice(1);
function showWanted() {
  const row = wanted && document.getElementById(wanted);
  if (!row || row.classList.contains("linked")) return;
  row.classList.add("linked");
  transcript.following = false;
  const box = row.closest("details") || $("details", row);
  if (box) box.open = true;
  row.scrollIntoView({ block: "center" });
}
transcript.onChange(showWanted);
showWanted();

let lostAt = 0;
function onState(state) {
  if (state === "lost") lostAt ||= setTimeout(() => { $("#offline").hidden = false; }, 1200);
  else { clearTimeout(lostAt); lostAt = 0; }
  if (state === "open") { $("#offline").hidden = true; $("#offline-at").textContent = clockTime(new Date()); }
  if (state === "refused") location.reload();
  if (state === "deleted") location.assign("/sessions");
}

new Stream(page.dataset.socket, page.dataset.thread, Number(page.dataset.number), {
  onBatch(all) {
    const events = all.filter((event) => !event.elsewhere);
    if (events.some((event) => ENDS.has(event.event_type))) { transcript.endTurn(); preview.clear(); }
    if (events.some((event) => event.event_type === "span.model_request_end")) preview.clear();
    transcript.take(events);
    inspector.take(all);
    threads.take(all);
  },
  onDelta: (frames) => preview.take(frames),
  onSession: (session) => header.show(session),
  onState,
});
$("#offline-at").textContent = clockTime(new Date());
