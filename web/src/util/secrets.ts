/**
 * Keeps secrets out of messages, causes and the console. Queries of addresses hold signatures, user
 * information and headers hold passwords and tokens, and errors are shown to visitors.
 */

import { show } from "./option_checks";

/** In place of what is left out. */
const HIDDEN = "…";

/** A text shorter than this is not a secret, and may stand in a message by chance. */
const SHORTEST = 6;

/** How many causes of causes are copied; an error may be its own cause. */
const MAX_CAUSES = 8;

/**
 * An address inside a text; a stack writes line and column behind it. A scheme has few characters: a
 * search without that limit takes minutes for a long text of others that has many dots.
 */
const ADDRESS = /\b[a-z][a-z\d+.-]{0,99}:\/\/[^\s"'<>`]+/gi;
// eslint-disable-next-line security/detect-unsafe-regex -- its parts do not overlap
const BEHIND_ADDRESS = /(?::\d+:\d+|:\d+)?[),.;:]*$/;

/** Only so many characters at its end are searched for what stands behind an address. */
const LONGEST_END = 50;

/** Words of headers that are not secret. */
const SCHEMES = /^(basic|bearer|digest|negotiate|token)$/i;

/**
 * Name an address in a message: its origin and path. `?…` stands for its query, and its user
 * information and fragment are left out. A text that is not an address is named too.
 */
export function nameOf(address: string | URL): string {
  const text = String(address);
  if (!URL.canParse(text)) {
    return text.replace(/^.*@/s, "").replace(/#.*$/s, "").replace(/\?.*$/s, `?${HIDDEN}`);
  }
  const { protocol, host, pathname, search } = new URL(text);
  // The content of a data: address, or the address of a person.
  if (pathname !== "" && !pathname.startsWith("/")) return `${protocol}${HIDDEN}`;
  return `${protocol}//${host}${pathname}${search === "" ? "" : `?${HIDDEN}`}`;
}

/** List the secrets of a request: what its query, user information and headers say. */
export function secretsOf(url: string, headers: readonly (readonly [string, string])[]): string[] {
  const { search, username, password } = new URL(url);
  const values = [username, password, search.slice(1), ...headers.map(([, value]) => value)];
  // In "Bearer TOKEN" and "user=TOKEN" the token alone is a secret too.
  const parts = values.flatMap((value) => value.split(/[\s,;&]+/));
  const all = [...values, ...parts, ...parts.map((part) => part.replace(/^[^=]*=/, ""))];
  const found = new Set(all.flatMap((part) => [part, decode(part)]));
  // What stands in the address's name too is told anyway, such as the word of `manifest?v=manifest`.
  const name = nameOf(url);
  return [...found]
    .filter((text) => text.length >= SHORTEST && !SCHEMES.test(text) && !name.includes(text))
    .sort((one, other) => other.length - one.length);
}

/** Return a text of somebody else without secrets: those that are known, and those of addresses. */
export function redact(text: string, secrets: readonly string[] = []): string {
  const named = text.replaceAll(ADDRESS, (found) => {
    if (!/[?@#]/.test(found)) return found;
    const tail = Math.max(0, found.length - LONGEST_END);
    const end = tail + BEHIND_ADDRESS.exec(found.slice(tail))!.index;
    return nameOf(found.slice(0, end)) + found.slice(end);
  });
  return secrets.reduce((left, secret) => left.replaceAll(secret, HIDDEN), named);
}

/**
 * Copy what somebody else threw, to be the cause of an error, without secrets. Only name, message,
 * stack and cause are copied, as between threads: libraries put whole requests into their errors.
 */
export function withoutSecrets(
  thrown: unknown,
  secrets: readonly string[],
  causes = MAX_CAUSES,
): unknown {
  if (typeof thrown === "string") return redact(thrown, secrets);
  if (!(thrown instanceof Error || thrown instanceof DOMException)) return show(thrown);
  const { cause } = thrown as Error;
  const inner = cause === undefined || causes === 0 ? undefined : { cause };
  const copy = new Error(
    redact(thrown.message, secrets),
    inner && { cause: withoutSecrets(inner.cause, secrets, causes - 1) },
  );
  copy.name = thrown.name;
  if (thrown.stack !== undefined) copy.stack = redact(thrown.stack, secrets);
  return copy;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // not every query is one of a form
  }
}
