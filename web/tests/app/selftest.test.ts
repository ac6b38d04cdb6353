// @vitest-environment happy-dom
/** The page of the self-test: what it offers after an error, and copying its report. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { FetchError, UnsupportedError } from "../../src/index";
import { openPage } from "./page_document";

const server = vi.hoisted(() => ({ fault: undefined as Error | undefined }));

vi.mock("../../src/index", async (original) => {
  const { readFileSync } = await import("node:fs");
  const manifest: unknown = JSON.parse(readFileSync("../tests/fixtures/manifest-v2.json", "utf8"));
  const stage = {
    ...{ stage: "unet", error: 0, limit: 1, repeats: true, milliseconds: 1, good: true },
    variants: {},
  };
  const variants = [{ dtype: "f32", manifest: "a" }];
  return {
    ...(await original<object>()),
    listModels: () =>
      server.fault === undefined
        ? Promise.resolve([{ name: "speck", title: "A", variants }])
        : Promise.reject(server.fault),
    preflight: () => Promise.resolve({ manifest, adapter: {}, problems: [] }),
    StableDiffusionPipeline: {
      fromPretrained: () =>
        Promise.resolve({
          selfTest: () => Promise.resolve([stage]),
          unload: () => Promise.resolve(),
        }),
    },
  };
});

const byId = (id: string): HTMLElement => document.getElementById(id)!;
const said = (): string => byId("status").textContent;

async function open(fault?: Error): Promise<void> {
  server.fault = fault;
  vi.resetModules();
  openPage("selftest.html");
  await import("../../src/app/selftest");
}

beforeEach(() => vi.stubGlobal("isSecureContext", true));
afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

test.each([
  { fault: new FetchError("index.json: the server answered 500", "try again"), offers: true },
  { fault: new UnsupportedError("this address is not secure", "use https"), offers: false },
])("Try again is offered where it can help: $fault.name", async ({ fault, offers }) => {
  await open(fault);
  await expect.poll(() => byId("error").hidden).toBe(false);
  const names = [...byId("error").querySelectorAll("button")].map((each) => each.textContent);
  expect(names).toEqual(offers ? ["Try again"] : []);
});

test("the page says whether the report was copied, and selects it if not", async () => {
  await open();
  await expect.poll(said).toBe("Ready.");
  (byId("form") as HTMLFormElement).requestSubmit();
  await expect.poll(() => byId("results").hidden).toBe(false);
  const report = byId("report") as HTMLTextAreaElement;
  expect(report.value).toContain("| unet |");
  const write = vi.spyOn(navigator.clipboard, "writeText").mockResolvedValue();
  byId("copy").click();
  await expect.poll(said).toBe("The report is copied.");
  expect(write).toHaveBeenCalledWith(report.value);
  write.mockRejectedValue(new DOMException("no", "NotAllowedError"));
  byId("copy").click();
  await expect.poll(said).toContain("did not let the page copy");
  expect([report.selectionStart, report.selectionEnd]).toEqual([0, report.value.length]);
});
