/** Makes script addresses for browsers with Trusted Types; no other file does. */

/** The part of Trusted Types that is used, https://w3c.github.io/trusted-types/dist/spec/. */
interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL: (url: string) => string }): Policy;
}

/** The name in the Content-Security-Policy header (wsd/runtime/http_headers.py). */
const POLICY = "wsd";

function checkOrigin(url: string): string {
  // Scripts lie beside this module, which need not come from the page's own origin.
  if (new URL(url).origin !== new URL(import.meta.url).origin) {
    throw new TypeError(`${url} is not a script of this page`);
  }
  return url;
}

interface Policy {
  createScriptURL: (url: string) => unknown;
}

let policy: Policy | undefined;

/** Make the address of one of the page's scripts acceptable to Worker and service worker. */
export function scriptUrl(url: URL): URL {
  const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
  policy ??= trustedTypes?.createPolicy(POLICY, { createScriptURL: checkOrigin });
  // TypeScript's types of Worker know only URL; browsers also take a TrustedScriptURL.
  return (policy?.createScriptURL(url.href) ?? url) as URL;
}
