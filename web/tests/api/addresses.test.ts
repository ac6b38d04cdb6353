/** What callers give as the address of a model, and what is fetched. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { explainAddress, indexAddress, manifestAddress } from "../../src/api/addresses";
import { nameOf } from "../../src/util/secrets";
import { FetchError, OptionError, UnsupportedError } from "../../src/util/errors";

beforeEach(() => {
  vi.stubGlobal("document", { baseURI: "https://page.test/app/" });
});

afterEach(() => vi.unstubAllGlobals());

describe("the address of a manifest", () => {
  test.each([
    ["model/manifest.json", "https://page.test/app/model/manifest.json"],
    ["model/", "https://page.test/app/model/manifest.json"],
    ["model", "https://page.test/app/model/manifest.json"],
    ["models/v1.5", "https://page.test/app/models/v1.5/manifest.json"],
    ["/model/?sig=a%2Fb#part", "https://page.test/model/manifest.json?sig=a%2Fb"],
    ["../m/Other.JSON", "https://page.test/m/Other.JSON"],
    ["//cdn.test/m/", "https://cdn.test/m/manifest.json"],
    ["app://model/m", "app://model/m/manifest.json"],
    ["https://cdn.test", "https://cdn.test/manifest.json"],
  ])("%s", (given, made) => {
    expect(manifestAddress(given)).toBe(made);
  });

  test("a URL, and one of another realm", () => {
    const made = "https://cdn.test/m/manifest.json";
    expect(manifestAddress(new URL("https://cdn.test/m/"))).toBe(made);
    const other: unknown = { href: "https://cdn.test/m/" };
    expect(manifestAddress(other as string)).toBe(made);
  });

  test.each([
    "",
    "  ",
    undefined,
    null,
    7,
    {},
    [],
    "data:,{}",
    "blob:https://page.test/1",
    "javascript:0",
    "mailto:a@b",
    "file:///m/manifest.json",
    "http://",
  ])("%j is none", (given) => {
    expect(() => manifestAddress(given as string)).toThrow(OptionError);
  });

  test("a fetch of the caller's own may have files", () => {
    const fetch = (): Promise<Response> => Promise.reject(new Error());
    expect(manifestAddress("file:///m", { fetch })).toBe("file:///m/manifest.json");
    expect(() => manifestAddress("data:,{}", { fetch })).toThrow(OptionError);
  });

  test.each([
    "https://user:SECRET@cdn.test/m/",
    new URL("https://SECRET@cdn.test/m/"),
    "//user:SECRET@cdn.test/m/manifest.json?sig=SECRET",
  ])("%s has a user, with which browsers fetch nothing", (given) => {
    const said = (): string => manifestAddress(given);
    expect(said).toThrow(/has a user or a password.*https:\/\/cdn\.test\/m\//);
    expect(said).not.toThrow(/SECRET/);
    const fetch = (): Promise<Response> => Promise.reject(new Error());
    expect(manifestAddress(given, { fetch })).toContain("SECRET@");
  });

  test("is not beside the page's own user and password", () => {
    vi.stubGlobal("document", { baseURI: "https://user:SECRET@page.test/app/" });
    expect(manifestAddress("m/")).toBe("https://page.test/app/m/manifest.json");
  });

  test("in a worker of a blob only an absolute one is", () => {
    vi.stubGlobal("document", undefined);
    vi.stubGlobal("location", { href: "blob:https://page.test/1" });
    expect(() => manifestAddress("model/")).toThrow(/which is not an address/);
    expect(manifestAddress("https://page.test/m/")).toBe("https://page.test/m/manifest.json");
  });
});

test.each([
  ["models/index.json", "https://page.test/app/models/index.json"],
  ["models/", "https://page.test/app/models/index.json"],
  ["models", "https://page.test/app/models/index.json"],
  ["/", "https://page.test/models/index.json"],
  [".", "https://page.test/app/models/index.json"],
])("the list of models of %s", (given, made) => {
  expect(indexAddress(given)).toBe(made);
});

describe("what looks like the id of a model on a hub", () => {
  test.each([
    ["someone/sd-v1.5", true],
    ["https://huggingface.co/someone/sd-v1.5/", true],
    ["models/manifest.json", false],
    ["./someone/sd", false],
    ["https://cdn.test/someone/sd", false],
    ["a/b/c", false],
  ])("%s: %s", (given, isId) => {
    const url = manifestAddress(given);
    const error = new FetchError(`${url}: the server answered 404`, "look");
    const { hint, message } = explainAddress(error, given, url) as FetchError;
    expect(hint.includes("wsd build")).toBe(isId);
    expect(message).toBe(error.message);
  });

  test.each([
    ["/api/manifest?id=3", "the server answered 404", "manifest.json"],
    ["https://cdn.test/m", "the server sent a web page", "manifest.json"],
    ["/api/manifest/?id=3", "the server answered 404", undefined],
    ["m/manifest.json", "the server answered 404", undefined],
    ["/api/manifest", "could not be fetched", undefined],
  ])("or was taken for a folder is said: %s, %s", (given, said, file) => {
    const url = manifestAddress(given);
    const error = new FetchError(`${nameOf(url)}: ${said}`, "look");
    const { hint } = explainAddress(error, given, url) as FetchError;
    expect(hint).toContain("look");
    const asked = /does not end in \.json.*the file (\S+) in it was asked for/.exec(hint)?.[1];
    expect(asked).toBe(file);
  });

  test("or a list that was taken for a folder", () => {
    const url = indexAddress("/api/list?id=3");
    const error = new FetchError(`${nameOf(url)}: the server answered 404`, "look");
    const { hint } = explainAddress(error, "/api/list?id=3", url) as FetchError;
    expect(hint).toContain("the file models/index.json in it was asked for");
  });

  test("is not the matter of other errors", () => {
    const url = manifestAddress("a/b");
    for (const error of [new UnsupportedError(url, ""), new FetchError("a shard", "")]) {
      expect(explainAddress(error, "a/b", url)).toBe(error);
    }
  });
});
