// Writing to the agent, answering what it asks, and stopping it.

import { $, remembered, send, toast } from "../dom.js";

export function compose(form, session, onSent) {
  if (!form) return;
  const text = $("textarea", form);
  const refusal = $(".composer-error", form);
  const key = `draft:${session}`;
  text.value ||= remembered(key) || "";
  text.addEventListener("input", () => remembered(key, text.value));
  text.addEventListener("keydown", (event) => {
    // An input method's Enter chooses a word; it sends nothing.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    form.requestSubmit();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!text.value.trim() || form.ariaBusy === "true") return;
    form.ariaBusy = "true";
    refusal.hidden = true;
    const sent = text.value;
    try {
      await send(form, event.submitter);
      if (text.value === sent) text.value = "";
      remembered(key, text.value);
      onSent();
    } catch (error) {
      refusal.textContent = `Not sent: ${error.message} Your text is kept.`;
      refusal.hidden = false;
    }
    form.ariaBusy = "false";
    text.focus();
  });
}

/** Answers calls that wait. Their buttons are in the rows; pressed twice they answer once. */
export function decider(form) {
  form?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = event.submitter;
    const answered = send(form, button);
    button.disabled = true;  // Only now: a disabled button is not sent along.
    try {
      await answered;
    } catch (error) {
      button.disabled = false;
      toast(`Not answered: ${error.message}`, { bad: true });
    }
  });
}

export function stopper(form) {
  if (!form) return () => {};
  const stop = async () => {
    if (form.hidden) return;
    try {
      await send(form);
    } catch (error) {
      toast(`Not stopped: ${error.message}`, { bad: true });
    }
  };
  form.addEventListener("submit", (event) => { event.preventDefault(); stop(); });
  return stop;
}
