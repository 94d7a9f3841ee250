// Status, tokens, cost and time at the top; whether anybody works; what a turn's end changes.

import { $, $$, compact, duration } from "../dom.js";

export class Header {
  constructor(state) {
    this.title = document.title;
    this.show(state);
    setInterval(() => this.#showElapsed(), 1000);
  }

  get isWorking() { return this.state.status === "running" || this.state.status === "rescheduling"; }

  show(state) {
    this.state = state;
    $("#status").innerHTML = state.status_html;
    $("#title").textContent = state.title || "Untitled session";
    $("#tokens").textContent = compact(state.tokens);
    this.#showCost(state);
    for (const figure of $$("[data-usage]")) figure.textContent = compact(state.usage[figure.dataset.usage] || 0);
    const stop = $("#stop-form");
    if (stop) stop.hidden = !state.can_stop;
    const interrupting = $("#interrupt-send");
    if (interrupting) interrupting.hidden = !this.isWorking;
    $("#no-worker").hidden = state.workers || !this.isWorking;
    document.title = (this.isWorking ? "● " : "") + (state.title || "Untitled session") + " · Agentsite";
    this.#showElapsed();
  }

  #showCost({ cost, budget }) {
    $("#cost-meter").hidden = !cost;
    $("#cost").textContent = cost;
    $("#budget").hidden = !budget;
    $("#budget b").textContent = budget;
  }

  #showElapsed() {
    const { active_seconds: before, running_since: since } = this.state;
    const now = since && this.isWorking ? (Date.now() - new Date(since)) / 1000 : 0;
    const whole = before + now;
    $("#elapsed").textContent = duration(whole < 10 ? Math.round(whole * 10) / 10 : whole);
  }
}
