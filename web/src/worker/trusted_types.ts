/** Trusted Types: where this page makes a script's address, and nowhere else. */

/** What browsers with Trusted Types have, https://w3c.github.io/trusted-types/dist/spec/. */
interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL: (url: string) => string }): Policy;
}

/** The name in the Content-Security-Policy header (wsd/runtime/http_headers.py). */
const POLICY = "wsd";

function checked(url: string): string {
  // Beside this module, wherever it was loaded from: the page and its worker move together.
  if (new URL(url).origin !== new URL(import.meta.url).origin) {
    throw new TypeError(`${url} is no script of this page`);
  }
  return url;
}

interface Policy {
  createScriptURL: (url: string) => unknown;
}

let policy: Policy | undefined;

/** The address of a script of ours, as a worker or a service worker takes it. */
export function scriptUrl(url: URL): URL {
  const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
  policy ??= trustedTypes?.createPolicy(POLICY, { createScriptURL: checked });
  // Typed as what the callers' types know; browsers take either.
  return (policy?.createScriptURL(url.href) ?? url) as URL;
}
