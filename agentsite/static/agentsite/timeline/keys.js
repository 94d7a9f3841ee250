// The keyboard of the session page.

import { $, $$, isTyping, singleKeys, toast } from "../dom.js";

export function listen({ transcript, find, inspector, stop, threads }) {
  let here = null;

  const rows = (selector = ".row") => $$(selector, transcript.root).filter((row) => row.offsetParent);

  function go(row) {
    if (!row) return;
    here?.classList.remove("here");
    here = row;
    row.classList.add("here");
    transcript.following = row === rows().at(-1);
    row.scrollIntoView({ block: "nearest" });
    row.focus({ preventScroll: true });
  }

  function move(step, selector) {
    const all = rows(selector);
    if (!all.length) return;
    const now = here?.isConnected ? here : null;
    if (!now) return go(step > 0 && selector ? all[0] : all.at(-1));
    const order = (row) => now.compareDocumentPosition(row) & Node.DOCUMENT_POSITION_FOLLOWING;
    go(step > 0 ? all.find((row) => row !== now && order(row)) : all.findLast((row) => row !== now && !order(row)));
  }

  const ERRORS = ".row-error, .row[data-state='failed']";
  /** The one call that waits, or that of the row where the reader is. */
  function decide(how) {
    const asking = $$(`.ask button[name=${how}]`, transcript.root);
    const button = asking.length === 1 ? asking[0] : asking.find((each) => here?.contains(each));
    button?.click();
  }

  const acts = {
    y: () => decide("allow"),
    n: () => decide("deny"),
    j: () => move(1),
    k: () => move(-1),
    e: () => move(1, ERRORS),
    E: () => move(-1, ERRORS),
    G: () => transcript.follow(),
    i: () => inspector.toggle(),
    "[": () => threads.go(-1),
    "]": () => threads.go(1),
    "/": () => find.open(),
    ".": () => link(here),
    Enter: () => { const box = here && $("details", here); if (box) box.open = !box.open; },
  };

  transcript.root.addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (row && !window.getSelection()?.toString()) { here?.classList.remove("here"); here = row; }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.shiftKey) { event.preventDefault(); return void stop(); }
    if (isTyping(event.target)) {
      if (event.key === "Escape") transcript.root.focus();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (!singleKeys() || !acts[event.key]) return;
    if (event.key === "Enter" && event.target.closest("summary, button, a")) return;
    event.preventDefault();
    acts[event.key]();
  });
}

async function link(row) {
  if (!row?.id) return;
  const address = new URL(location.href);
  address.search = `?event=${row.id}`;
  address.hash = "";
  history.replaceState(null, "", address);
  await navigator.clipboard?.writeText(address.href);
  toast("Link to this event copied");
}
