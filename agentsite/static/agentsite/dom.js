// Small things every page's script needs.

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `${document.documentElement.dataset.icons}#${name}`);
  svg.append(use);
  return svg;
}

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export function toast(text, { bad = false } = {}) {
  const shown = element("div", { class: bad ? "toast toast-bad" : "toast" }, text);
  $("#toasts").append(shown);
  setTimeout(() => shown.remove(), 5000);
}

export function remembered(key, value) {
  try {
    if (value === undefined) return localStorage.getItem(key);
    if (value === null || value === "") localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch { /* storage may be closed to us: then nothing is remembered */ }
  return value;
}

export function isTyping(target) {
  return target instanceof HTMLElement
    && (target.isContentEditable || target.matches("input, textarea, select"));
}

export const singleKeys = () => remembered("single-keys") !== "off";

const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const full = new Intl.DateTimeFormat([], { dateStyle: "full", timeStyle: "long" });

export const clockTime = (moment) => clock.format(moment);

/** Show the times of the server, which are UTC, as the reader's own. */
export function localTimes(root) {
  for (const time of $$("time.at", root)) {
    const moment = new Date(time.dateTime);
    time.textContent = clockTime(moment);
    time.title = full.format(moment);
  }
}

export function compact(number) {
  if (number < 1000) return String(number);
  if (number < 9950) return `${(number / 1000).toFixed(1).replace(/\.0$/, "")}k`;
  if (number < 999500) return `${Math.round(number / 1000)}k`;
  return `${(number / 1e6).toFixed(1).replace(/\.0$/, "")}M`;
}

export function duration(seconds) {
  if (seconds > 0 && seconds < 0.05) return "<0.1s";
  if (seconds < 10) return `${Math.max(seconds, 0).toFixed(1).replace(/\.0$/, "")}s`;
  const whole = Math.round(seconds);
  const two = (number) => String(number).padStart(2, "0");
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)}h ${two(Math.floor((whole % 3600) / 60))}m`;
  return `${Math.floor(whole / 86400)}d ${Math.floor((whole % 86400) / 3600)}h`;
}

/** What a panel shows now; nothing where it cannot be had, and the next time may do. */
export async function fragment(path) {
  const response = await fetch(path, { headers: { "HX-Request": "true" } }).catch(() => null);
  return response?.ok ? response.text() : null;
}

/** Send a form as the page would, and say in a sentence what went wrong. */
export async function send(form, button = null) {
  const response = await fetch(button?.getAttribute("formaction") || form.action, {
    method: "POST", body: new FormData(form, button), headers: { Accept: "application/json" },
  });
  if (response.redirected) throw new Error("You are signed out: sign in again in another tab.");
  if (response.ok) return;
  const said = await response.json().catch(() => ({}));
  throw new Error(said.message || `The site answered ${response.status}.`);
}
