/** The trace page's code is a file of its own; an idle list fetches it before it is needed. */
export function loadTracePage() {
  return import("./TracePage");
}
