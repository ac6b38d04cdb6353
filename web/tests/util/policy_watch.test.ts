/** Which refusals of a Content-Security-Policy are the reason why something failed. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { PolicyWatch } from "../../src/util/policy_watch";

let scope: EventTarget;

beforeEach(() => {
  scope = new EventTarget();
  vi.stubGlobal("addEventListener", scope.addEventListener.bind(scope));
  vi.stubGlobal("removeEventListener", scope.removeEventListener.bind(scope));
});

afterEach(() => vi.unstubAllGlobals());

/** Refuse something, as the browser tells it. */
function refuse(
  blockedURI: string,
  effectiveDirective = "connect-src",
  disposition = "enforce",
): void {
  const told = { blockedURI, effectiveDirective, disposition };
  scope.dispatchEvent(Object.assign(new Event("securitypolicyviolation"), told));
}

test.each([
  ["https://a.test/m/manifest.json", "https://a.test/other", true],
  ["https://a.test/m/manifest.json", "https://a.test", true],
  ["https://a.test/m/manifest.json", "https://analytics.test/collect", false],
  ["https://a.test/m/manifest.json", "http://a.test/m/manifest.json", false],
  ["https://a.test/m/manifest.json", "https://a.test:8443/m/manifest.json", false],
  ["https://a.test/m/manifest.json", "wss://a.test/m/manifest.json", false],
  ["https://a.test/m/manifest.json", "inline", false],
  ["https://a.test/m/manifest.json", "blob", false],
  ["https://a.test/m/manifest.json", "", false],
  ["app://model/manifest.json", "app", true],
  ["app://model/manifest.json", "data", false],
  ["blob:", "blob", true],
])("of %s, %s is the reason: %s", async (address, blocked, isReason) => {
  const watch = new PolicyWatch();
  refuse(blocked);
  const found = await watch.find(["connect-src"], [address]);
  expect(found).toEqual(isReason ? { directive: "connect-src", blocked } : undefined);
  watch.stop();
});

test("only directives that were asked for, that are enforced, and while it watches", async () => {
  const file = "https://a.test/m";
  const watch = new PolicyWatch();
  refuse(file, "script-src");
  refuse(file, "connect-src", "report");
  expect(await watch.find(["connect-src"], [file])).toBeUndefined();
  expect(await watch.find(["script-src", "connect-src"], ["https://b.test/", file])).toEqual({
    directive: "script-src",
    blocked: file,
  });
  watch.stop();
  refuse(file);
  expect(await watch.find(["connect-src"], [file])).toBeUndefined();
});
