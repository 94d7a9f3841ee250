// Sums of an invoice, in whole cents.

export function subtotal(lines) {
  return lines.reduce((sum, line) => sum + line.quantity * line.cents, 0);
}

export function discounted(cents, percent = 0) {
  if (percent < 0 || percent > 100) {
    throw new RangeError(`a discount of ${percent} % makes no sense`);
  }
  return cents - Math.round((cents * percent) / 100);
}

export function tax(cents, percent) {
  return Math.floor((cents * percent) / 100);
}

export function total({ lines, discount = 0, taxPercent = 22 }) {
  const net = discounted(subtotal(lines), discount);
  const due = tax(net, taxPercent);
  return { net, tax: due, gross: net + due };
}
