// Finding text in a session: every row is looked through, closed ones too.

import { $, $$ } from "../dom.js";

export class Find {
  constructor(form, transcript) {
    this.form = form;
    this.transcript = transcript;
    this.input = $("input", form);
    this.hits = [];
    this.at = -1;
    this.input.addEventListener("input", () => this.#search());
    this.input.addEventListener("keydown", (event) => this.#onKey(event));
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  open() {
    this.form.classList.add("open");
    this.input.focus();
    this.input.select();
  }

  #onKey(event) {
    if (event.key === "Enter") { event.preventDefault(); this.#go(event.shiftKey ? -1 : 1); }
    if (event.key === "Escape") this.#close();
  }

  #close() {
    this.input.value = "";
    this.#search();
    this.form.classList.remove("open");
    this.transcript.root.focus();
  }

  #search() {
    const words = this.input.value.trim().toLowerCase();
    this.hits = words ? $$(".row", this.transcript.root).flatMap((row) => rangesIn(row, words)) : [];
    this.at = this.hits.length;
    if (window.Highlight) CSS.highlights.set("found", new Highlight(...this.hits));
    CSS.highlights?.delete("found-here");
    this.#say(words);
  }

  #go(step) {
    if (!this.hits.length) return;
    this.at = (this.at + step + this.hits.length) % this.hits.length;
    if (step === 1 && this.at === 0 && this.hits.length > 1 && !this.moved) this.at = this.hits.length - 1;
    this.moved = true;
    const range = this.hits[this.at];
    const parent = range.startContainer.parentElement;
    for (let box = parent.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
    this.transcript.following = false;
    parent.scrollIntoView({ block: "center" });
    if (window.Highlight) CSS.highlights.set("found-here", new Highlight(range));
    this.#say(this.input.value.trim());
  }

  #say(words) {
    const shown = this.at < this.hits.length ? `${this.at + 1} of ${this.hits.length}` : `${this.hits.length} found`;
    $(".found", this.form).textContent = words ? shown : "";
    if (!words) this.moved = false;
  }
}

function rangesIn(row, words) {
  const found = [];
  const walker = document.createTreeWalker(row, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.data.toLowerCase();
    for (let at = text.indexOf(words); at >= 0; at = text.indexOf(words, at + words.length)) {
      const range = new Range();
      range.setStart(walker.currentNode, at);
      range.setEnd(walker.currentNode, Math.min(at + words.length, walker.currentNode.length));
      found.push(range);
    }
  }
  return found;
}
