/**
 * Tells what a Content-Security-Policy refuses while something is tried. The browser rejects it
 * without a reason, and says the reason in an event of its own.
 */

/** What a policy refused. */
export interface Refusal {
  /** The directive that did, such as `connect-src`. */
  directive: string;
  /** What was refused: an address, or a word such as `wasm-eval`. */
  blocked: string;
}

/** The part of a page's or a worker's global object that is used; Node.js has none of it. */
type Scope = Partial<Pick<EventTarget, "addEventListener" | "removeEventListener">>;

/** Whether what was refused is of an address's origin, or a word for its scheme: `blob`. */
function isOf(blocked: string, address: string): boolean {
  const { origin, protocol } = new URL(address);
  if (`${blocked}:` === protocol) return true;
  if (!URL.canParse(blocked)) return false;
  const refused = new URL(blocked);
  return refused.protocol === protocol && refused.origin === origin;
}

/** Collects refusals from its making until it is stopped. */
export class PolicyWatch {
  private readonly refusals: Refusal[] = [];

  constructor() {
    (globalThis as Scope).addEventListener?.("securitypolicyviolation", this.listen);
  }

  /**
   * Return what one of these directives refused of the origins of some addresses; undefined if
   * nothing was. What else the page loads meanwhile may be refused too.
   */
  async find(
    directives: readonly string[],
    addresses: readonly string[],
  ): Promise<Refusal | undefined> {
    // The event comes in a task of its own, after what was tried has failed.
    await new Promise((resolve) => setTimeout(resolve));
    return this.refusals.find(
      ({ directive, blocked }) =>
        directives.includes(directive) && addresses.some((address) => isOf(blocked, address)),
    );
  }

  stop(): void {
    (globalThis as Scope).removeEventListener?.("securitypolicyviolation", this.listen);
  }

  private readonly listen = (event: Event): void => {
    const { disposition, effectiveDirective, blockedURI } = event as SecurityPolicyViolationEvent;
    if (disposition !== "enforce") return; // it was only reported
    this.refusals.push({ directive: effectiveDirective, blocked: blockedURI });
  };
}
