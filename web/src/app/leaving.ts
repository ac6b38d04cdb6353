/** Asks visitors who leave the page while a picture is being drawn. */

function ask(event: BeforeUnloadEvent): void {
  // The browser has words of its own for it.
  event.preventDefault();
}

/**
 * Let the browser ask whoever leaves the page.
 *
 * @returns a function that ends it; browsers keep pages that do not ask, to go back to them at once.
 */
export function warnBeforeLeaving(): () => void {
  addEventListener("beforeunload", ask);
  return () => {
    removeEventListener("beforeunload", ask);
  };
}
