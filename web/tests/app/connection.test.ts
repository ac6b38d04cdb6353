// @vitest-environment happy-dom
/** How fast the connection is. */

import { beforeEach, expect, test } from "vitest";

import { DownloadWatch, measuredSpeed } from "../../src/app/connection";

beforeEach(() => {
  localStorage.clear();
});

test("the speed of a download is kept", () => {
  const watch = new DownloadWatch();
  watch.arrived(100, 0);
  watch.arrived(4_000_100, 2000);
  expect(measuredSpeed()).toBe(2000);
  watch.arrived(6_000_100, 6000);
  expect(measuredSpeed()).toBe(1000);
});

test("a download that is soon over says nothing", () => {
  const watch = new DownloadWatch();
  watch.arrived(0, 0);
  watch.arrived(5_000_000, 100);
  watch.arrived(5000, 100_000);
  expect(measuredSpeed()).toBeUndefined();
});

test("before the first download it is what the browser estimates", () => {
  Object.assign(navigator, { connection: { downlink: 8 } });
  expect(measuredSpeed()).toBe(1000);
  Object.assign(navigator, { connection: undefined });
});
