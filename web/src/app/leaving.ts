/** Asks visitors who leave the page while something would be lost. */

/** How many reasons there are to ask. */
let reasons = 0;

function ask(event: BeforeUnloadEvent): void {
  // The browser has words of its own for it.
  event.preventDefault();
}

/**
 * Let the browser ask whoever leaves the page.
 *
 * @returns a function that ends it. A page with a beforeunload listener is left out of the
 *   back/forward cache, so there is one only as long as it is needed.
 */
export function warnBeforeLeaving(): () => void {
  if (reasons === 0) addEventListener("beforeunload", ask);
  reasons += 1;
  let ended = false;
  return () => {
    if (ended) return;
    ended = true;
    reasons -= 1;
    if (reasons === 0) removeEventListener("beforeunload", ask);
  };
}
