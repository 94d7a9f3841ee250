// What happened before the page's first row: loaded behind the reader, newest first.

import { $ } from "../dom.js";

const BY_ITSELF = 20;
const whenIdle = (work) => (window.requestIdleCallback || setTimeout)(work, { timeout: 1500 });

export class Earlier {
  constructor(session, thread, transcript) {
    this.session = session;
    this.thread = thread;
    this.transcript = transcript;
    this.loaded = 0;
    if (!this.marker) return;
    this.transcript.root.addEventListener("click", (event) => {
      if (!event.target.closest("#earlier a")) return;
      event.preventDefault();
      this.#load();
    });
    whenIdle(() => this.#goOn());
  }

  get marker() { return $("#earlier"); }

  async #goOn() {
    while (this.marker && this.loaded < BY_ITSELF) {
      if (!(await this.#load())) return;
      await new Promise(whenIdle);
    }
  }

  async #load() {
    const marker = this.marker;
    if (!marker || this.busy) return false;
    this.busy = true;
    try {
      const response = await fetch(`/sessions/${this.session}/earlier?before=${marker.dataset.before}&thread=${this.thread}`);
      if (!response.ok) return false;
      await this.#place(await response.text(), marker);
      this.loaded += 1;
      return true;
    } catch {
      return false; // The link stays: the reader can ask again.
    } finally {
      this.busy = false;
    }
  }

  async #place(html, marker) {
    const template = document.createElement("template");
    template.innerHTML = html;
    const chunks = [...template.content.querySelectorAll(".chunk")];
    for (const chunk of chunks.reverse()) {
      const fragment = document.createDocumentFragment();
      fragment.append(chunk);
      this.transcript.prepend(fragment, marker);
      await new Promise(requestAnimationFrame);
    }
    const next = template.content.querySelector("#earlier");
    if (next) marker.replaceWith(next);
    else marker.remove();
  }
}
