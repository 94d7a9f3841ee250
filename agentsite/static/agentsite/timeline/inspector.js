// The sheet on the right: details, the ledger of calls, every stored event, files.

import { $, $$, element, fragment, localTimes, remembered } from "../dom.js";

const CALLS = /tool|recovery|span.model_request_end|session.status/;
const CALLS_WAIT = 300;

const CHANGE_FILES = new Set(["agentsite.outputs_captured", "agentsite.resources_changed"]);
const NARROW = matchMedia("(max-width: 1000px)");

export class Inspector {
  constructor(page, transcript) {
    this.page = page;
    this.root = $("#inspector");
    this.toggleButton = $("#inspector-toggle");
    this.#show(!NARROW.matches && remembered("inspector") !== "closed");
    page.classList.add("ready");
    this.toggleButton.addEventListener("click", () => this.toggle());
    $(".sheet-close", this.root).addEventListener("click", () => this.#show(false));
    for (const tab of $$("[role=tab]", this.root)) tab.addEventListener("click", () => this.#choose(tab));
    this.root.addEventListener("keydown", (event) => this.#onKey(event));
    transcript.onChange(() => this.#countSoon(transcript.root));
    this.#countSoon(transcript.root);
  }

  toggle() {
    this.#show(this.page.dataset.inspector !== "open");
    if (!NARROW.matches) remembered("inspector", this.page.dataset.inspector === "open" ? null : "closed");
  }

  /** Show live events in the raw list, once somebody has opened it. */
  take(events) {
    if (events.some((event) => CHANGE_FILES.has(event.event_type))) this.#reloadFiles();
    if (events.some((event) => CALLS.test(event.event_type))) this.#loadCallsSoon();
    if (!this.loaded) return;
    for (const event of events) $("#raw").prepend(rawRow(event.number, event.event_type, event.json));
  }

  #show(open) {
    this.page.dataset.inspector = open ? "open" : "closed";
    this.toggleButton.setAttribute("aria-expanded", String(open));
  }

  #onKey(event) {
    if (event.key === "Escape" && NARROW.matches) { this.#show(false); this.toggleButton.focus(); }
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || event.target.role !== "tab") return;
    const tabs = $$("[role=tab]", this.root);
    const next = tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length];
    next.focus();
    this.#choose(next);
  }

  #choose(chosen) {
    for (const tab of $$("[role=tab]", this.root)) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
    }
    for (const panel of $$("[data-name]", this.root)) panel.hidden = panel.dataset.name !== chosen.dataset.panel;
    if (chosen.dataset.panel === "raw") this.#load();
    if (chosen.dataset.panel === "calls") this.#loadCalls();
  }

  /** Once for all that happens in a moment, and only where somebody looks. */
  #loadCallsSoon() {
    if ($("#calls").hidden || this.calling) return;
    this.calling = setTimeout(() => { this.calling = 0; this.#loadCalls(); }, CALLS_WAIT);
  }

  async #loadCalls() {
    const panel = $("#calls");
    const html = await fragment(panel.dataset.source);
    if (html === null) return;  // What stands there stays; the next event asks again.
    panel.innerHTML = html;
    localTimes(panel);
  }

  async #load() {
    if (this.loaded) return;
    this.loaded = true;
    const response = await fetch($("[data-name=raw]", this.root).dataset.source);
    const { events } = await response.json();
    $("#raw").append(...events.map((each) => rawRow(each.number, each.json.type, each.json)));
  }

  async #reloadFiles() {
    const panel = $("[data-files]", this.root);
    const html = await fragment(panel.dataset.files);
    if (html === null) return;
    panel.innerHTML = html;
    $("#file-count").textContent = $$("a[href*='/files/']", panel).length || "";
  }

  #countSoon(root) {
    if (this.counting) return;
    this.counting = setTimeout(() => { this.counting = 0; this.#count(root); }, 400);
  }

  #count(root) {
    const tools = new Map();
    let errors = 0;
    for (const row of $$(".row-tool", root)) {
      const name = $(".call b", row).textContent;
      const failed = row.dataset.state === "failed";
      const [calls, failures] = tools.get(name) || [0, 0];
      tools.set(name, [calls + 1, failures + failed]);
      errors += failed;
    }
    errors += $$(".row-error", root).length;
    const badge = $("#error-count");
    badge.textContent = errors;
    badge.hidden = !errors;
    if (tools.size) $("#tools").replaceChildren(...[...tools].sort((a, b) => b[1][0] - a[1][0]).map(toolLine));
  }
}

function toolLine([name, [calls, failed]]) {
  const figures = element("dd", { class: "num" }, `${calls} ${calls === 1 ? "call" : "calls"}`);
  if (failed) figures.append(" · ", element("span", { class: "bad-text" }, `${failed} failed`));
  return element("div", {}, element("dt", {}, name), figures);
}

function rawRow(number, type, json) {
  const details = element(
    "details", {},
    element("summary", {}, element("span", { class: "num" }, String(number)), element("span", {}, type)),
  );
  details.addEventListener("toggle", () => {
    if (details.childElementCount === 1) details.append(element("pre", {}, JSON.stringify(json, null, 2)));
  }, { once: true });
  return element("li", {}, details);
}
