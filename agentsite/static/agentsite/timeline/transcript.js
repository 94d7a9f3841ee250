// The rows of a session. One handler places stored and live events alike.

import { $, $$, duration, element, localTimes } from "../dom.js";

const CHUNK = 50;
const NEAR = 60;

const seconds = (from, to) => (new Date(to) - new Date(from)) / 1000;

export class Transcript {
  constructor(root, jump) {
    this.root = root;
    this.jump = jump;
    this.following = true;
    this.unseen = 0;
    this.listeners = [];
    localTimes(root);
    this.#watchScrolling();
    this.#tail();
    setInterval(() => this.#tick(), 1000);
  }

  onChange(listener) { this.listeners.push(listener); }

  /** Take frames in the order of their numbers. */
  take(frames) {
    for (const frame of frames) this.#takeOne(frame);
    this.settle();
  }

  /** Put older chunks above; the reader's place does not move. */
  prepend(fragment, anchor) {
    const below = this.root.scrollHeight - this.root.scrollTop;
    localTimes(fragment);
    anchor.after(fragment);
    this.root.scrollTop = this.root.scrollHeight - below;
    this.#adoptParts();
    this.settle();
  }

  /** What queued messages wait behind, and for how long it has run. */
  #sayWhatRuns() {
    const notes = $$("#queue .behind", this.root);
    if (!notes.length) return;
    const row = $(".row-tool[data-state='running'][data-started]", this.root);
    for (const note of notes) {
      if (row) describe(note, row);
      if (note.hidden) continue;
      $(".for", note).textContent = `(${duration(Math.floor(seconds(note.dataset.since, new Date())))})`;
    }
  }

  /** Stay at the end while something grows, if the reader is there. */
  keepUp() {
    if (this.following) this.#tail();
    this.#showJump();
  }

  settle() {
    this.#sayWhatRuns();
    this.keepUp();
    for (const listener of this.listeners) listener();
  }

  follow() {
    this.following = true;
    this.unseen = 0;
    this.settle();
  }

  #takeOne({ number, html, queued, id }) {
    document.getElementById(`preview-${id}`)?.remove();
    const node = parse(html);
    if (!node) return;
    localTimes(node.parentNode);
    if (node.dataset.part) return this.#attach(node);
    const there = document.getElementById(node.id);
    if (node.id !== id) return this.#tellAnew(there, node, number);
    if (there && Number(there.dataset.number) >= number && !("queued" in there.dataset)) return;
    there?.remove();
    node.dataset.number = number;
    if (node.classList.contains("rule")) this.#closeOpenRules();
    if (queued) $("#queue").append(node);
    else this.#live().append(node);
    if (!this.following) this.unseen += 1;
  }

  /** A row that another event has changed, where it stands. */
  #tellAnew(there, node, number) {
    if (!there || Number(there.dataset.number) >= number) return;
    node.dataset.number = number;
    if ($("details", there)?.open) $("details", node).open = true;
    there.replaceWith(node);
  }

  #live() {
    const live = $("#live");
    if (live.childElementCount < CHUNK) return live;
    live.removeAttribute("id");
    const next = element("div", { class: "chunk", id: "live" });
    live.after(next);
    return next;
  }

  /** Put a part into the row it belongs to; where that is not here yet, it waits. */
  #attach(part) {
    if (part.dataset.part === "over") return this.#endWaiting(part);
    const host = document.getElementById(part.dataset.for);
    if (!host) {
      if (!part.isConnected) this.#live().append(part);
    } else if (part.dataset.part === "started") {
      host.dataset.started = part.dataset.at;
      if (host.dataset.state === "waiting") {
        host.dataset.state = "running";
        $(".took", host).textContent = "running";
      }
      showTook(host);
      part.remove();
    } else if (part.dataset.part === "decision") {
      const place = $(".ask, .decided", host);
      if (place) place.replaceWith(part); else host.append(part);
      if (host.dataset.state === "waiting") $(".took", host).textContent = part.dataset.state;
    } else {
      host.dataset.state = part.dataset.state;
      $(".ask", host)?.remove();
      $(".slot", host).replaceChildren(part);
      if (part.dataset.part === "result") showTook(host);
    }
  }

  /** Older rows have come: parts that waited for theirs find them. */
  #adoptParts() {
    for (const part of $$(":scope > .chunk > [data-for]", this.root)) this.#attach(part);
  }

  #endWaiting(part) {
    for (const row of $$(".row-waiting[data-state='waiting']", this.root)) {
      row.dataset.state = "over";
      $(".took", row).textContent = duration(seconds(row.dataset.at, part.dataset.at));
    }
  }

  /** A request that another one follows, or whose turn is over, got no reply. */
  #closeOpenRules() {
    for (const rule of $$(".rule[data-state='open']", this.root)) {
      rule.dataset.state = "cut";
      $(".figures", rule).textContent = "no reply";
    }
  }

  endTurn() { this.#closeOpenRules(); }

  #tick() {
    const now = new Date();
    for (const row of $$(".row-tool[data-state='running'], .row-waiting[data-state='waiting']", this.root)) {
      const since = seconds(row.dataset.started || row.dataset.at, now);
      if (since >= 1) $(".took", row).textContent = duration(Math.floor(since));
    }
    this.#sayWhatRuns();
  }

  #watchScrolling() {
    let last = this.root.scrollTop;
    this.root.addEventListener("scroll", () => {
      const up = this.root.scrollTop < last - 2;
      last = this.root.scrollTop;
      if (this.#distance() < NEAR) { this.following = true; this.unseen = 0; }
      else if (up) this.following = false;
      this.#showJump();
    }, { passive: true });
    this.root.addEventListener("wheel", (event) => {
      if (event.deltaY < 0 && this.root.scrollHeight > this.root.clientHeight) this.following = false;
    }, { passive: true });
    const grown = new ResizeObserver(() => { if (this.following) this.#tail(); });
    grown.observe(this.root);
    for (const child of this.root.children) grown.observe(child);
    new MutationObserver((changes) => {
      for (const { addedNodes } of changes) {
        for (const node of addedNodes) if (node instanceof Element) grown.observe(node);
      }
    }).observe(this.root, { childList: true });
  }

  #distance() { return this.root.scrollHeight - this.root.scrollTop - this.root.clientHeight; }
  #tail() { this.root.scrollTop = this.root.scrollHeight; }

  #showJump() {
    this.jump.hidden = this.following;
    $("span", this.jump).textContent = this.unseen ? `Jump to live · ${this.unseen} new` : "Jump to live";
  }
}

function parse(html) {
  const template = document.createElement("template");
  template.innerHTML = html.trim();
  return template.content.firstElementChild;
}

function describe(note, row) {
  note.hidden = false;
  if (note.dataset.since === row.dataset.started) return;
  note.dataset.since = row.dataset.started;
  $("b", note).textContent = $(".call b", row).textContent;
  $(".sum", note).textContent = $(".call .sum", row).textContent;
  Object.assign($("time", note), { className: "at", dateTime: row.dataset.started });
  localTimes(note);
}

function showTook(row) {
  const result = $(".slot > [data-part='result']", row);
  if (!result) return;
  const took = row.dataset.started ? duration(seconds(row.dataset.started, result.dataset.at)) : "";
  const failed = row.dataset.state === "failed" ? "failed" : "";
  $(".took", row).textContent = [failed, took].filter(Boolean).join(" · ");
}
