// What every page does: theme, copying, dialogs, the keys that go somewhere.

import { $, $$, isTyping, remembered, singleKeys, toast } from "./dom.js";

const GOES = { h: "/", s: "/sessions", a: "/agents", e: "/environments", k: "/skills" };

function showTheme() {
  const theme = document.documentElement.dataset.theme || "";
  for (const button of $$("[data-theme-name]")) {
    button.setAttribute("aria-checked", String(button.dataset.themeName === theme));
  }
}

function chooseTheme(theme) {
  remembered("theme", theme);
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  showTheme();
}

async function copy(button) {
  const text = button.dataset.text ?? $("code, pre", button.parentElement).textContent;
  await navigator.clipboard.writeText(text);
  toast("Copied");
}

function onClick(event) {
  const at = (selector) => event.target.closest?.(selector);
  const theme = at("[data-theme-name]");
  if (theme) chooseTheme(theme.dataset.themeName);
  const copied = at("[data-copy]");
  if (copied) copy(copied);
  const opener = at("[data-opens]");
  if (opener) {
    opener.closest("[popover]")?.hidePopover();
    document.getElementById(opener.dataset.opens).showModal();
  }
}

let going = 0;

function onKey(event) {
  if (isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "?") return void $("#shortcuts")?.showModal();
  if (!singleKeys()) return;
  if (Date.now() - going < 1000 && GOES[event.key]) return void location.assign(GOES[event.key]);
  going = event.key === "g" ? Date.now() : 0;
  onListKey(event);
}

function onListKey(event) {
  const links = $$("a.name");
  if (event.key === "/" && $("[data-filter]")) { event.preventDefault(); $("[data-filter]").focus(); }
  if (event.key === "c") $("[data-create]")?.click();
  if ((event.key === "j" || event.key === "k") && links.length) {
    const now = links.indexOf(document.activeElement);
    const next = event.key === "j" ? Math.min(now + 1, links.length - 1) : Math.max(now - 1, 0);
    links[next].focus();
  }
}

document.addEventListener("click", onClick);
document.addEventListener("keydown", onKey);
for (const hidden of $$("[data-themes], [data-copy], [data-opens]")) hidden.hidden = false;
showTheme();
$("[data-focus]")?.focus();

const keys = $("[data-single-keys]");
if (keys) {
  keys.checked = singleKeys();
  keys.addEventListener("change", () => remembered("single-keys", keys.checked ? null : "off"));
}
