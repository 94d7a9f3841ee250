// What left the sandbox: asked for again while somebody looks at it.

import { $, $$, fragment, localTimes } from "../dom.js";

const PACE = 2000;

export class Network {
  constructor(panel) {
    this.panel = panel;
    new MutationObserver(() => this.#look()).observe(panel, { attributes: true, attributeFilter: ["hidden"] });
    document.addEventListener("visibilitychange", () => this.#look());
    this.#look();
  }

  /** Begin when the panel is shown, end when it is not. */
  #look() {
    const seen = !this.panel.hidden && !document.hidden;
    if (seen && !this.timer) { this.#load(); this.timer = setInterval(() => this.#load(), PACE); }
    if (!seen) { clearInterval(this.timer); this.timer = 0; }
  }

  async #load() {
    // What somebody has opened stays as it is while they read it.
    if ($("details[open]", this.panel)) return;
    const html = await fragment(this.panel.dataset.fragment);
    if (html === null || html === this.html || $("details[open]", this.panel)) return;
    this.html = html;
    this.panel.innerHTML = html;
    localTimes(this.panel);
  }
}

/** What was allowed meanwhile is offered no more. */
export function hideAllowed(transcript) {
  const hide = () => {
    for (const { dataset: { host, scope } } of $$(".allowed", transcript.root)) {
      // One host may have been refused on several ports.
      const offers = $$(`.allow[data-host="${CSS.escape(host)}"] [name="${scope}"]`, transcript.root);
      for (const offer of offers) offer.remove();
    }
  };
  transcript.onChange(hide);
  hide();
}
