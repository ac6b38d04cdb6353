/** Makes script addresses for browsers with Trusted Types; no other file does. */

/** The part of Trusted Types that is used, https://w3c.github.io/trusted-types/dist/spec/. */
interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL: (url: string) => string }): Policy;
}

interface Policy {
  createScriptURL: (url: string) => unknown;
}

/** The name in the Content-Security-Policy header (wsd/runtime/http_headers.py). */
const POLICY = "wsd";

/**
 * Where the page's policy is found by a second copy of this package: a name can be given to one
 * policy only. Whoever finds it gets no more from it than addresses of the page's own origin.
 */
const SHARED = Symbol.for("web-stable-diffusion.trusted-types-policy");

type Scope = typeof globalThis & { trustedTypes?: TrustedTypes; [SHARED]?: Policy };

function checkOrigin(url: string): string {
  // This module's own address says nothing: bundlers write a file's address, or none, for it.
  if (new URL(url, globalThis.location.href).origin !== globalThis.origin) {
    throw new TypeError(`${url} is not a script of this page`);
  }
  return url;
}

/** Make the page's policy, or find it; undefined where there is none, or none is allowed. */
function findPolicy(): Policy | undefined {
  const scope = globalThis as Scope;
  if (scope[SHARED] !== undefined) return scope[SHARED];
  let policy: Policy | undefined;
  try {
    policy = scope.trustedTypes?.createPolicy(POLICY, { createScriptURL: checkOrigin });
  } catch {
    return undefined; // where Trusted Types are not required, plain addresses do
  }
  if (policy !== undefined) Object.defineProperty(scope, SHARED, { value: policy });
  return policy;
}

/**
 * Make the address of one of the page's scripts acceptable to Worker and service worker. If a
 * Content-Security-Policy requires Trusted Types and does not allow this policy, they refuse it.
 *
 * @throws TypeError if the script is of another origin.
 */
export function scriptUrl(url: URL): URL {
  // TypeScript's types of Worker know only URL; browsers also take a TrustedScriptURL.
  return (findPolicy()?.createScriptURL(url.href) ?? url) as URL;
}
