/** Whatever callers in JavaScript give to a public function, they get an answer or a WsdError. */

import { beforeEach, describe, expect, test, vi } from "vitest";

import "./image_data";
import * as api from "../src/index";
import { LOAD_CHECKS } from "../src/util/option_checks";

const SETTINGS = {
  ...{ prompt: "a cat", steps: 2, scheduler: "euler", guidanceScale: 1, seed: 7 },
  ...{ width: 8, height: 8, model: "toy", eta: 0 },
};
const ODD: unknown[] = [
  ...[undefined, null, 0, -1, Number.NaN, 5n, "", "x", "toString", true, Symbol("x")],
  ...[{}, [], [1], { toString: 5 }, () => undefined, new Date(Number.NaN), new Uint16Array(3)],
];
/** Objects of which only a part is odd. */
const NEARLY: unknown[] = ODD.flatMap((odd) => [
  ...[{ entry_points: odd }, { entry_points: [odd] }, { variants: odd }, { variants: [odd] }],
  { variants: [{ manifest: odd, integrity: odd }] },
  { variants: [{ manifest: "models/m/", integrity: odd }] },
  ...["negativePrompt", "numImages", "imageIndex", "given", "seed"].map((name) => {
    return { ...SETTINGS, [name]: odd };
  }),
  { ...SETTINGS, given: [odd] },
]);

/** Names of the functions that the package exports, and their functions. */
const functions = Object.entries(api).filter(
  ([name, value]) => typeof value === "function" && /^[a-z]/.test(name),
) as [string, (...args: unknown[]) => unknown][];

const isText = (value: unknown): boolean => typeof value === "string";
const isTrue = (value: unknown): boolean => value === true;
const isFunction = (value: unknown): boolean => typeof value === "function";
/** Which of the odd values an option of fromPretrained takes: none, unless said here. */
const GOOD: Record<string, (value: unknown) => boolean> = {
  ...{ onProgress: isFunction, onNotice: isFunction, onTuned: isFunction, fetch: isFunction },
  ...{
    offload: isTrue,
    tiling: isTrue,
    cache: isTrue,
    safetyChecker: isTrue,
    textEncoder3: isTrue,
  },
  settings: (value) =>
    Object.prototype.toString.call(value) === "[object Object]" && Object.keys(value!).length === 0,
  // The worker checks these.
  ...{ integrity: isText, kernels: isText, ignoredRules: isText },
  workerUrl: (value) => isText(value) && value !== "",
  headers: (value) => {
    try {
      return new Headers(value as HeadersInit) instanceof Headers;
    } catch {
      return false;
    }
  },
};

/** A worker whose script does not start. */
class FailingWorker extends EventTarget {
  constructor() {
    super();
    setTimeout(() => this.dispatchEvent(new Event("error")));
  }
  postMessage(): void {
    // It answers nothing.
  }
  terminate(): void {
    // It does nothing already.
  }
}

beforeEach(() => {
  // A page of a browser without a GPU and without a store, on a server that has no models.
  vi.stubGlobal("location", new URL("https://page.test/"));
  vi.stubGlobal("navigator", {});
  vi.stubGlobal("fetch", () => Promise.resolve(new Response("", { status: 404 })));
  vi.stubGlobal("Worker", FailingWorker);
  return () => vi.unstubAllGlobals();
});

test("the functions are those of the package", () => {
  expect(functions.length).toBeGreaterThan(15);
});

/** Call a function, and return what it throws. */
async function thrownBy(call: () => unknown): Promise<unknown> {
  try {
    await call();
    return undefined;
  } catch (error) {
    return error;
  }
}

/** The environment is good, so that only an argument or its address can be wrong. */
function isRefusal(error: unknown): error is api.WsdError {
  return error instanceof api.OptionError || error instanceof api.FetchError;
}

test.each(functions)("%s", async (_, call) => {
  const pairs = ODD.flatMap((first) => ODD.map((second) => [first, second]));
  for (const [first, second] of [...pairs, ...NEARLY.map((first) => [first])]) {
    const error = await thrownBy(() => call(first, second, second));
    if (error === undefined) continue;
    expect(error, `${(error as Error).message} is a refusal`).toSatisfy(isRefusal);
    expect((error as api.WsdError).hint).not.toBe("");
  }
});

test.each(["preflight", "listModels", "chooseVariant"] as const)(
  "%s refuses each odd first argument with an OptionError",
  async (name) => {
    const call = api[name] as (first: unknown) => Promise<unknown>;
    const odd = ODD.filter((value) => typeof value !== "string" || value === "");
    for (const value of odd) await expect(call(value)).rejects.toThrow(api.OptionError);
  },
);

test("a model without variants is refused, rather than chosen with nothing in it", async () => {
  const model = { name: "m", title: "M", variants: [] } as unknown as api.ListedModel;
  await expect(api.chooseVariant(model)).rejects.toThrow("model.variants is empty");
});

describe("formatSettings", () => {
  test.each([
    [{ negativePrompt: 5 }, "negativePrompt is 5"],
    [{ given: "latents" }, 'given is "latents"'],
    [{ given: ["latents", 5] }, "given is a list of 2"],
    [{ numImages: "2" }, 'numImages is "2"'],
    [{ numImages: 0 }, "numImages is 0"],
    [{ imageIndex: 0.5 }, "imageIndex is 0.5"],
  ])("refuses %j", (odd, message) => {
    const settings = { ...SETTINGS, ...odd } as unknown as api.Settings;
    expect(() => api.formatSettings(settings)).toThrow(`settings.${message}`);
  });

  test("takes null as what was not given", () => {
    const nothing = { negativePrompt: null, given: null, numImages: null, imageIndex: null };
    const settings = { ...SETTINGS, ...nothing } as unknown as api.Settings;
    expect(api.formatSettings(settings)).toBe(
      api.formatSettings({ ...SETTINGS, negativePrompt: undefined }),
    );
  });
});

describe("fromPretrained", () => {
  const load = (address: unknown, options: unknown): Promise<unknown> =>
    api.StableDiffusionPipeline.fromPretrained(address as string, options as api.LoadOptions);

  test("refuses odd arguments, and starts a worker for no other", async () => {
    const isAddress = (value: unknown): boolean => typeof value === "string" && value !== "";
    // An object without names is one without options.
    const isNothing = (value: unknown): boolean =>
      ["[object Undefined]", "[object Null]", "[object Date]"].includes(tagOf(value)) ||
      (tagOf(value) === "[object Object]" && Object.keys(value as object).length === 0);
    for (const first of ODD) {
      for (const second of ODD) {
        const error = await thrownBy(() => load(first, second));
        expect(error).toBeInstanceOf(api.WsdError);
        const isGood = isAddress(first) && isNothing(second);
        expect(error instanceof api.OptionError, String(error)).toBe(!isGood);
      }
    }
  });

  test.each(Object.keys(LOAD_CHECKS))("refuses odd values of %s", async (name) => {
    const good = GOOD[name] ?? ((): boolean => false);
    for (const value of ODD.filter((each) => each !== undefined && each !== null)) {
      const given = name === "worker" ? {} : { workerUrl: "worker.js" };
      const error = await thrownBy(() => load("models/m/", { ...given, [name]: value }));
      expect(error).toBeInstanceOf(api.WsdError);
      expect((error as api.WsdError).hint).not.toBe("");
      expect(error instanceof api.OptionError, `${typeof value} ${String(error)}`).toBe(
        !good(value),
      );
    }
  });
});

function tagOf(value: unknown): string {
  return Object.prototype.toString.call(value);
}
