/** Reading a bundle's manifest and its list of models; their types are generated from Python. */

import { FetchError, OptionError } from "../api/errors";
import { SCHEMA_VERSION } from "../util/constants.generated";
import type { EntryPoint, IndexEntry, Manifest, ParameterRecord } from "./manifest.generated";
import type { TensorSpec } from "./manifest.generated";
import { upgradeManifest } from "./manifest_v1";
import type { ManifestV1 } from "./manifest_v1";

export type * from "./manifest.generated";

/** Type of a tensor's values on the GPU; packed parameters are uint32. */
export type DType = TensorSpec["dtype"] | "uint32";
/** How a parameter is stored; all but float32 are packed into uint32 words. */
export type Storage = ParameterRecord["dtype"];
/** Width and height in pixels. */
export type Size = readonly [number, number];
/** What a compiled function does in the pipeline. */
export type Role = EntryPoint["role"];

/**
 * Parse a manifest; one of version 1 is upgraded. Only its version is checked: `wsd build` has
 * checked the rest.
 *
 * @throws FetchError if the text is not a manifest, or of a newer version than this page.
 */
export function parseManifest(text: string, url: string): Manifest {
  const manifest = parseJson(text, url, "a manifest's") as Manifest | ManifestV1 | null;
  const version: unknown = manifest?.schema_version;
  if (manifest?.schema_version === SCHEMA_VERSION) return manifest;
  if (manifest?.schema_version === 1) {
    try {
      return upgradeManifest(manifest);
    } catch (cause) {
      throw new FetchError(`${url} is not a manifest of version 1`, "build the bundle again", {
        cause,
      });
    }
  }
  throw new FetchError(
    `${url} has schema version ${JSON.stringify(version)}, this page reads 1 to ${SCHEMA_VERSION}`,
    "reload the page, or rebuild the bundle with the same version of WSD",
  );
}

/**
 * Parse a bundle's list of models.
 *
 * @throws FetchError if the text is not such a list.
 */
export function parseIndex(text: string, url: string): IndexEntry[] {
  const entries = parseJson(text, url, "a list of models'");
  const keys = ["name", "title", "dtype", "manifest"] as const;
  const good = (entry: unknown): entry is IndexEntry =>
    keys.every((key) => typeof (entry as Partial<IndexEntry> | null)?.[key] === "string");
  if (Array.isArray(entries) && entries.length > 0 && entries.every(good)) return entries;
  throw new FetchError(
    `${url} lists no models`,
    "the address must be a bundle's models/index.json",
  );
}

function parseJson(text: string, url: string, whose: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new FetchError(`${url} is not JSON`, `the address must be ${whose}`, { cause });
  }
}

/**
 * Return the entry point of a role for a picture size.
 *
 * @throws OptionError if the size was not compiled.
 */
export function findEntryPoint(manifest: Manifest, role: Role, size: Size): EntryPoint {
  const found = manifest.entry_points.find(
    (entry) =>
      entry.role === role &&
      (entry.size === null || (entry.size[0] === size[0] && entry.size[1] === size[1])),
  );
  if (found === undefined) {
    throw new OptionError(
      `size ${size[0]}x${size[1]} was not compiled`,
      `sizes of this model: ${compiledSizes(manifest)
        .map((s) => s.join("x"))
        .join(", ")}`,
    );
  }
  return found;
}

/** Return the number of values of a tensor. */
export function valueCount(shape: readonly number[]): number {
  return shape.reduce((product, edge) => product * edge, 1);
}

/** Return the picture sizes that the model was compiled for. */
export function compiledSizes(manifest: Pick<Manifest, "entry_points">): Size[] {
  return manifest.entry_points
    .filter((entry) => entry.role === "denoiser")
    .map((entry) => entry.size)
    .filter((size) => size !== null);
}

/** Return why a model has no self-test, if it has none; nothing is downloaded to find out. */
export function selfTestProblem(manifest: Manifest): OptionError | undefined {
  if (manifest.self_test !== undefined) return undefined;
  return new OptionError(
    "this model came without expected values",
    "make them with `wsd expect`, and build the bundle with --self-test",
  );
}
