/** The form's one button and the page's keys: what begins a picture, and what stops it. */

import { element } from "./dom";

/** What the controls do. */
export interface Controlled {
  /** Whether a picture is drawn, or waits. */
  isBusy: () => boolean;
  /** Begin a picture; the form holds nothing wrong. */
  begin: () => void;
  stop: () => void;
}

/** Listen to the button, the form and the keys. */
export function mountControls({ isBusy, begin, stop }: Controlled): void {
  const form = element<HTMLFormElement>("form");
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing) return;
    if (document.querySelector("dialog[open]") !== null) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      if (!isBusy()) form.requestSubmit();
    } else if (event.key === "Escape") stop();
  });
  element("draw").addEventListener("click", (event) => {
    if (!isBusy()) return;
    event.preventDefault();
    // The second click of a double click does not mean Stop.
    if (event.detail < 2) stop();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    begin();
  });
  // A field that holds something wrong must be seen, or the browser cannot point at it.
  const settings = element<HTMLDetailsElement>("settings");
  settings.addEventListener("invalid", () => (settings.open = true), true);
}
