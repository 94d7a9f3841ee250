// The links from thread to thread: asked for anew when a thread changes.

import { $, $$ } from "../dom.js";

const WAIT = 200;

export class Threads {
  constructor(root) { this.root = root; }

  take(events) {
    const changed = events.some(({ event_type: type }) => type.startsWith("session.thread_"));
    const any = this.root.childElementCount || events.some((event) => event.event_type === "session.thread_created");
    if (changed && any && !this.loading) this.loading = setTimeout(() => this.#load(), WAIT);
  }

  /** Go to the next thread, or the one before. */
  go(step) {
    const links = $$("a", this.root);
    const here = links.indexOf($("[aria-current]", this.root));
    if (links.length) location.assign(links[(here + step + links.length) % links.length].href);
  }

  async #load() {
    this.loading = 0;
    const response = await fetch(this.root.dataset.source).catch(() => null);
    if (response?.ok) this.root.innerHTML = await response.text();
  }
}
