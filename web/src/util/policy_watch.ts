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

/** Collects refusals from its making until it is stopped. */
export class PolicyWatch {
  private readonly refusals: Refusal[] = [];

  constructor() {
    (globalThis as Scope).addEventListener?.("securitypolicyviolation", this.listen);
  }

  /** Return what was refused by one of these directives; undefined if nothing was. */
  async find(...directives: string[]): Promise<Refusal | undefined> {
    // The event comes in a task of its own, after what was tried has failed.
    await new Promise((resolve) => setTimeout(resolve));
    return this.refusals.find(({ directive }) => directives.includes(directive));
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
