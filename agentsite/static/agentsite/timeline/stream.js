// The websocket that feeds the page: everything after a number, then what comes.

const FIRST_WAIT = 400;
const LONGEST_WAIT = 8000;
const NOT_HERE = 4404;
const DELETED = 4410;

export class Stream {
  constructor(path, thread, number, { onBatch, onDelta, onSession, onState }) {
    this.path = path;
    this.thread = thread;
    this.number = number;
    this.heard = { onBatch, onDelta, onSession, onState };
    this.wait = FIRST_WAIT;
    this.#connect();
    addEventListener("online", () => this.#hurry());
    document.addEventListener("visibilitychange", () => this.#hurry());
  }

  #connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new WebSocket(`${scheme}//${location.host}${this.path}?after=${this.number}&thread=${this.thread}`);
    this.socket.addEventListener("message", ({ data }) => this.#hear(JSON.parse(data)));
    this.socket.addEventListener("close", ({ code }) => this.#lost(code));
  }

  #hear(message) {
    this.wait = FIRST_WAIT;
    this.heard.onState("open");
    if (message.type === "batch") {
      for (const event of message.events) this.number = Math.max(this.number, event.number);
      this.heard.onBatch(message.events);
    }
    if (message.type === "caught_up") this.number = Math.max(this.number, message.number);
    if (message.type === "delta") this.heard.onDelta(message.frames);
    if (message.session) this.heard.onSession(message.session);
  }

  #lost(code) {
    if (code === NOT_HERE) return this.heard.onState("refused");
    if (code === DELETED) return this.heard.onState("deleted");
    this.heard.onState("lost");
    this.timer = setTimeout(() => this.#connect(), this.wait * (0.75 + Math.random() / 2));
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT);
  }

  /** Somebody looks again: try now and not in some seconds. */
  #hurry() {
    if (document.hidden || this.socket.readyState !== WebSocket.CLOSED) return;
    clearTimeout(this.timer);
    this.wait = FIRST_WAIT;
    this.#connect();
  }
}
