/** Makes script addresses for browsers with Trusted Types; no other file does. */

import { nameOf } from "../util/secrets";

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
 * policy only. Every script of the page can find it too, so it accepts no more than files of the
 * page's own origin, and the scripts that {@link relayUrl} made: any other blob: address, which is
 * of the same origin, may be of code that somebody else wrote.
 */
const SHARED = Symbol.for("web-stable-diffusion.trusted-types-policy");

type Scope = typeof globalThis & { trustedTypes?: TrustedTypes; [SHARED]?: Policy };

/** Addresses of the scripts that {@link relayUrl} made. */
const relays = new Set<string>();

/** Schemes whose addresses have the page's origin, and whose content a script of the page wrote. */
const WRITTEN = ["blob:", "filesystem:"];

function checkScript(url: string): string {
  // This module's own address says nothing: bundlers write a file's address, or none, for it.
  const { href, origin, protocol } = new URL(url, globalThis.location.href);
  // All opaque origins are called "null": that of a frame without one, and that of data: addresses.
  const isOwnFile =
    origin === globalThis.origin && origin !== "null" && !WRITTEN.includes(protocol);
  if (!isOwnFile && !relays.has(href)) {
    throw new TypeError(`${nameOf(url)} is not a script of this page`);
  }
  return url;
}

/** The policy that this copy of the package made. */
let ownPolicy: Policy | undefined;
/** Whether the page refused this copy a policy; each further attempt would write to the console. */
let refused = false;

/** Make this copy's policy; undefined where there are no Trusted Types, or it is not allowed. */
function makePolicy(): Policy | undefined {
  const scope = globalThis as Scope;
  if (refused) return undefined;
  try {
    ownPolicy ??= scope.trustedTypes?.createPolicy(POLICY, { createScriptURL: checkScript });
  } catch {
    refused = true;
    return undefined; // where Trusted Types are not required, plain addresses do
  }
  if (ownPolicy !== undefined && scope[SHARED] === undefined) {
    Object.defineProperty(scope, SHARED, { value: ownPolicy });
  }
  return ownPolicy;
}

/**
 * Make the address of one of the page's scripts acceptable to Worker and service worker. If a
 * Content-Security-Policy requires Trusted Types, they refuse one that this policy does not accept,
 * and any one if it does not allow this policy.
 */
export function scriptUrl(url: URL): URL {
  const policy = (globalThis as Scope)[SHARED] ?? makePolicy();
  return trust(policy, url);
}

/**
 * Return the address of a script of this page that imports another one, of any origin. Browsers
 * start a worker with a script of the page's own origin only, and such a script may import from
 * everywhere. Only this copy's own policy knows it: a second copy of the package in a page that
 * requires Trusted Types needs `'allow-duplicates'`.
 */
export function relayUrl(script: URL): URL {
  const code = `import ${JSON.stringify(script.href)};\n`;
  // It is never revoked: browsers differ in when they have read it, and it is a line.
  const url = new URL(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  relays.add(url.href);
  return trust(makePolicy(), url);
}

function trust(policy: Policy | undefined, url: URL): URL {
  try {
    // TypeScript's types of Worker know only URL; browsers also take a TrustedScriptURL.
    return (policy?.createScriptURL(url.href) ?? url) as URL;
  } catch {
    return url; // such as a caller's own blob: address; the browser refuses it where types are required
  }
}
