// The agent form: one more row for a custom tool, as many as somebody wants.

import { $, $$ } from "./dom.js";

const button = $("#another-tool");
button.hidden = false;
button.addEventListener("click", () => {
  const rows = $$("[data-tool]");
  const row = rows.at(-1).cloneNode(true);
  for (const told of $$(".field-error", row)) told.remove();
  for (const field of $$("input, textarea", row)) {
    field.value = field.textContent = "";
    field.removeAttribute("aria-invalid");
  }
  // Of each field its label and its help are found by an id with the row's number.
  for (const each of $$("[id], [for], [aria-describedby]", row)) {
    for (const name of ["id", "for", "aria-describedby"]) {
      const value = each.getAttribute(name);
      if (value) each.setAttribute(name, value.replaceAll(`id_tool_${rows.length}_`, `id_tool_${rows.length + 1}_`));
    }
  }
  rows.at(-1).after(row);
  $("input", row).focus();
});
