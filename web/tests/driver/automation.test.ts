/** How Python's calls reach a bundle's worker. */

import { afterAll, beforeAll, expect, test, vi } from "vitest";

const asked: unknown[] = [];

/** The program puts this into the page. */
interface Page {
  wsdAutomation: { call: (name: string, args: unknown[]) => Promise<object> };
}

const call = async (name: string, ...args: unknown[]): Promise<object> =>
  (globalThis as unknown as Page).wsdAutomation.call(name, args);

beforeAll(async () => {
  const remote = {
    encodeText: (words: unknown) => {
      asked.push(words);
      return Promise.resolve({});
    },
  };
  const fromPretrained = (): Promise<object> => Promise.resolve({ adapter: {}, remote });
  const client = { StableDiffusionPipeline: { fromPretrained } };
  vi.stubGlobal("document", { baseURI: "http://localhost/" });
  vi.stubGlobal("importModule", () => Promise.resolve(client));
  await import("../../src/driver/automation");
  await call("load", "client.js", "manifest.json", {});
});
afterAll(() => {
  vi.unstubAllGlobals();
});

test.each([
  [["a"], "a"],
  [["a", "b"], { text: "a", text2: "b", syntax: undefined, clipSkip: undefined }],
  [
    ["a", undefined, "a1111"],
    { text: "a", text2: undefined, syntax: "a1111", clipSkip: undefined },
  ],
  [["a", "", "plain", 0, "c"], { text: "a", text2: "", syntax: "plain", clipSkip: 0, text3: "c" }],
  [["a", undefined, undefined, 1], { text: "a", text2: undefined, syntax: undefined, clipSkip: 1 }],
])(
  "%j is what a text is encoded with, and plain for older workers if it is that",
  async (args, words) => {
    asked.length = 0;
    await call("encodeText", ...args);
    expect(asked).toEqual([words]);
  },
);
