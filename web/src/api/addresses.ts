/** Addresses of manifests and lists of models, from what callers give. */

import { FetchError, OptionError } from "../util/errors";
import { nameOf } from "../util/secrets";
import type { FetchOptions } from "./load_options";

/** `OWNER/NAME` of a model on a hub; a folder beside the page can have such a name too. */
const HUB_ID = /^[\w-][\w.-]*\/[\w-][\w.-]*$/;

const MANIFEST_HINT =
  "give the address of a model's manifest.json, or of its folder: models/NAME/ of a bundle";

/**
 * Return the address of a model's manifest. An address that is not of a .json file is that of the
 * model's folder.
 *
 * @param given relative to this page, or absolute.
 * @param options how it is fetched: a `fetch` of the caller's own may have files of any kind.
 * @throws OptionError if it is not an address from which a model can be fetched.
 */
export function manifestAddress(given: string | URL, { fetch }: FetchOptions = {}): string {
  const fileOf = (): string => "manifest.json";
  return fileAddress(given, "manifestUrl", MANIFEST_HINT, fileOf, fetch !== undefined);
}

/**
 * Return the address of a bundle's list of models. A folder is the bundle's own, or its models/.
 *
 * @throws OptionError if it is not an address from which a list can be fetched.
 */
export function indexAddress(given: string | URL, { fetch }: FetchOptions = {}): string {
  const hint = "give the address of a bundle's models/index.json";
  const fileOf = (folder: string): string =>
    folder.endsWith("/models/") ? "index.json" : "models/index.json";
  return fileAddress(given, "indexUrl", hint, fileOf, fetch !== undefined);
}

/**
 * Return the address of a LoRA's file, of its adapter.json, or of a textual inversion's file.
 *
 * @throws OptionError if it is not an address from which a file can be fetched.
 */
export function loraAddress(given: string | URL, { fetch }: FetchOptions = {}): string {
  const url = absolute(
    given,
    "source",
    "give the address of a .safetensors file, or the file itself",
  );
  if (fetch === undefined) {
    refuseUser(url, "source");
    if (url.protocol === "file:") {
      throw noFiles(url, "source", "give the file itself, from an input of the page for example");
    }
  }
  url.hash = ""; // it is never sent to a server
  return url.href;
}

/**
 * Return the address of the worker's script.
 *
 * @throws OptionError if it is not an address.
 */
export function scriptAddress(given: string | URL): URL {
  return absolute(given, "workerUrl", "give the address of the package's dist/worker.js");
}

/**
 * Add to an error about an address what the address looks like: that of a model on a hub, or of a
 * folder, beside which a file was asked for.
 *
 * @param given what the caller gave as the address.
 * @param url the address of the manifest or the list that was made of it.
 * @returns the error, or a clearer one.
 */
export function explainAddress(error: unknown, given: unknown, url: string): unknown {
  if (!(error instanceof FetchError) || !error.message.startsWith(nameOf(url))) return error;
  const hint = hubHint(given) ?? folderHint(error, given, url);
  return hint === undefined ? error : new FetchError(error.message, hint, { cause: error });
}

function hubHint(given: unknown): string | undefined {
  const id = hubId(given);
  if (id === undefined) return undefined;
  return (
    `if ${id} is a model on Hugging Face, build a bundle of it first, because browsers cannot run ` +
    `it as it is: wsd build --model sd15 --weights ${id} --out FOLDER (sdxl for SDXL); ` +
    MANIFEST_HINT
  );
}

/** Say which file was asked for, if the caller may have given the address of another one. */
function folderHint(
  { message, hint }: FetchError,
  given: unknown,
  url: string,
): string | undefined {
  const { pathname } = absolute(given, "address", MANIFEST_HINT);
  const asked = new URL(url).pathname;
  if (asked === pathname || pathname.endsWith("/") || !message.includes(": the server ")) {
    return undefined;
  }
  return (
    `the address does not end in .json, so it was taken for a folder, and the file ` +
    `${asked.slice(pathname.length + 1)} in it was asked for; ${hint}`
  );
}

/** Return the id of a model on a hub, if an address looks like one, or is its page there. */
function hubId(given: unknown): string | undefined {
  const text = textOf(given);
  if (text === undefined) return undefined;
  const id = text.replace(/^https:\/\/(www\.)?(huggingface\.co|hf\.co)\//, "").replace(/\/$/, "");
  return HUB_ID.test(id) && !id.endsWith(".json") ? id : undefined;
}

function fileAddress(
  given: unknown,
  name: string,
  hint: string,
  fileOf: (folder: string) => string,
  fetchesFiles: boolean,
): string {
  const url = absolute(given, name, hint);
  if (!fetchesFiles) refuseUser(url, name);
  if (!URL.canParse("file", url.href)) {
    throw new OptionError(
      `${name} is an address of ${url.protocol}, which has no files beside it`,
      `a model is a folder of files: ${hint}`,
    );
  }
  if (url.protocol === "file:" && !fetchesFiles) {
    throw noFiles(
      url,
      name,
      "serve the folder, and open it over http://localhost: wsd serve FOLDER",
    );
  }
  if (!isFile(url)) {
    if (!url.pathname.endsWith("/")) url.pathname += "/";
    url.pathname += fileOf(url.pathname);
  }
  url.hash = ""; // it is never sent to a server
  return url.href;
}

/** @throws OptionError if an address has a user or a password. */
function refuseUser(url: URL, name: string): void {
  if (url.username === "" && url.password === "") return;
  throw new OptionError(
    `${name} has a user or a password, with which browsers fetch nothing: ${nameOf(url)}`,
    'leave them out of the address, and give `headers`: { Authorization: "Basic …" }',
  );
}

function noFiles(url: URL, name: string, hint: string): OptionError {
  return new OptionError(
    `${name} is ${nameOf(url).slice(0, 100)}, and browsers give pages no files of this kind`,
    hint,
  );
}

/** Whether an address is that of a file; any other one is that of a folder. */
function isFile({ pathname }: URL): boolean {
  return /\.json$/i.test(pathname);
}

/** The text of an address. A URL may be of another realm, or one that a bundler made. */
function textOf(given: unknown): string | undefined {
  const text = typeof given === "string" ? given : (given as Partial<URL> | null | undefined)?.href;
  return typeof text === "string" ? text : undefined;
}

/** @throws OptionError if a value is not an address. */
function absolute(given: unknown, name: string, hint: string): URL {
  const address = textOf(given);
  if (address === undefined || address.trim() === "") {
    throw new OptionError(`${name} is ${given === "" ? "empty" : describe(given)}`, hint);
  }
  const base = baseAddress();
  // What the constructor throws is not a cause worth having: it says the address again.
  if (!URL.canParse(address, base)) {
    throw new OptionError(
      `${name} is ${describe(address)}, which is not an address`,
      base === undefined ? "this worker has no address of its own: give an absolute one" : hint,
    );
  }
  return new URL(address, base);
}

/** What relative addresses are relative to; undefined in a worker that was made of a blob. */
export function baseAddress(): string | undefined {
  const { document, location } = globalThis as Partial<
    Pick<typeof globalThis, "document" | "location">
  >;
  const base = document?.baseURI ?? location?.href;
  if (base === undefined || base.startsWith("blob:")) return undefined;
  // The browser sends the page's user and password by itself, and fetches no address that has them.
  const address = new URL(base);
  [address.username, address.password] = ["", ""];
  return address.href;
}

function describe(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(nameOf(value).slice(0, 100));
  return value === null || typeof value !== "object" ? String(value) : "an object";
}
