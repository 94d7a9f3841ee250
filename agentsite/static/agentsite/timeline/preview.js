// Text as it is being written. What is stored replaces it, so the log always wins.

import { default_renderer as plainRenderer, parser, parser_end as end, parser_write as write, HREF } from "../vendor/smd.min.js";
import { $, clockTime, element, icon } from "../dom.js";

const SAFE = /^(https?:|mailto:)/i;

export class Preview {
  constructor(place, transcript) {
    this.place = place;
    this.transcript = transcript;
    this.open = new Map();
    this.waiting = [];
  }

  /** Paint at most once a frame, however many deltas came. */
  take(frames) {
    if (!this.waiting.length) requestAnimationFrame(() => this.#paint());
    this.waiting.push(...frames);
  }

  clear() {
    for (const { parser: each } of this.open.values()) if (each) end(each);
    this.open.clear();
    this.waiting.length = 0;
    this.place.replaceChildren();
  }

  #paint() {
    for (const frame of this.waiting.splice(0)) {
      if (frame.type === "event_start") this.#start(frame.event);
      else if (frame.type === "event_delta") this.#write(frame);
    }
    this.transcript.keepUp();
  }

  /** The page came in the middle of a reply: its beginning comes with the stored event. */
  #joinLate(id) {
    this.#start({ id, type: "agent.message" });
    const open = this.open.get(id);
    if (open) write(open.parser, "… ");
  }

  #start({ id, type }) {
    if (this.open.has(id) || document.getElementById(id)) return;
    const says = type === "agent.message";
    const prose = element("div", { class: "prose" });
    const row = element(
      "article",
      { class: `row ${says ? "row-message streaming" : "row-thinking"}`, id: `preview-${id}`, "data-kind": says ? "message" : "thinking", "data-type": type },
      element(
        "div", { class: "line" },
        element("time", { class: "at" }, clockTime(new Date())),
        element("span", { class: "sign" }, icon(says ? "bot" : "brain")),
        element("div", { class: "what" }, says ? prose : "Thinking…"),
      ),
    );
    this.place.append(row);
    this.open.set(id, { row, parser: says ? parser(rendererInto(prose)) : null });
  }

  #write({ event_id: id, delta }) {
    if (!this.open.has(id)) this.#joinLate(id);
    const open = this.open.get(id);
    if (!open?.parser || !open.row.isConnected) return;
    write(open.parser, delta?.content?.text ?? "");
  }
}

/** Markdown as it comes; it can name a safe address and nothing else. */
function rendererInto(root) {
  const renderer = plainRenderer(root);
  const setAttribute = renderer.set_attr;
  renderer.set_attr = (data, type, value) => {
    if (type === HREF && SAFE.test(value)) setAttribute(data, type, value);
  };
  return renderer;
}
