/** Watches a page's content security policy, and tries what it must refuse. */

const violations: string[] = [];

document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
  violations.push(`${violatedDirective}: ${blockedURI}`);
});

/** The parts of Trusted Types that are tried; TypeScript's library does not know them. */
const { trustedTypes } = globalThis as unknown as {
  trustedTypes: { createPolicy(name: string, rules: object): void };
};

const ATTEMPTS = {
  "a worker's address from a string": () => new Worker("assets/x.js"),
  "a policy of another name": () => trustedTypes.createPolicy("other", {}),
  "markup from a string": () => (document.body.innerHTML = "<p>x</p>"),
  // eslint-disable-next-line @typescript-eslint/no-implied-eval, @typescript-eslint/no-unsafe-call -- the page must refuse it
  "a program from a string": () => new Function("return 1")() as unknown,
};

/** Try something and return the name of the error that it throws, or "allowed". */
async function attempt(name: keyof typeof ATTEMPTS): Promise<string> {
  // In a task of the page's own: what a debugger evaluates is not held to the policy.
  await new Promise((resolve) => setTimeout(resolve));
  try {
    ATTEMPTS[name]();
    return "allowed";
  } catch (error) {
    return (error as Error).name;
  }
}

Object.assign(globalThis, { wsdPolicy: { violations: () => violations, attempt } });
