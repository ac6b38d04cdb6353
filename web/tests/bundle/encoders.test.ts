import { readFileSync } from "node:fs";

import { expect, test } from "vitest";

import { chooseEncoders } from "../../src/bundle/encoders";
import { parseManifest } from "../../src/bundle/manifest";
import type { Manifest, Role } from "../../src/bundle/manifest";
import { UnsupportedError } from "../../src/util/errors";

// tests/unit/test_sd35_checkpoint.py compares what is left with a bundle that never had more.
const MANIFEST = parseManifest(
  readFileSync("../tests/fixtures/manifest-v2.json", "utf8"),
  "m.json",
);

/** The manifest with one more text encoder, which can be left out. */
function withOptional(): Manifest {
  const [id] = MANIFEST.conditioning.encoders;
  const entry = MANIFEST.entry_points.find(({ component }) => component === id)!;
  return {
    ...MANIFEST,
    components: { ...MANIFEST.components, more: MANIFEST.components[id!]! },
    tokenizers: { ...MANIFEST.tokenizers, more: MANIFEST.tokenizers[id!]! },
    entry_points: [...MANIFEST.entry_points, { ...entry, name: "more", component: "more" }],
    conditioning: {
      ...MANIFEST.conditioning,
      encoders: [...MANIFEST.conditioning.encoders, "more"],
      optional: ["more"],
    },
  };
}

test("a model without such an encoder is as it is, whether it is wanted or not", () => {
  expect(chooseEncoders(MANIFEST, false)).toBe(MANIFEST);
  expect(chooseEncoders(MANIFEST, undefined)).toBe(MANIFEST);
});

test("an encoder that is asked for must be there", () => {
  expect(() => chooseEncoders(MANIFEST, true)).toThrow(UnsupportedError);
  expect(() => chooseEncoders(MANIFEST, true)).toThrow(/has no third text encoder/);
  const whole = withOptional();
  expect(chooseEncoders(whole, true)).toBe(whole);
});

/** The planned bytes of a manifest without its optional encoder, by whether stages are loaded apart. */
function plan(manifest: Manifest): Record<"whole" | "apart", number> {
  const [whole, apart] = chooseEncoders(manifest, false).peak_bytes;
  expect([whole!.offload, apart!.offload]).toEqual([false, true]);
  return { whole: whole!.bytes, apart: apart!.bytes };
}

/** Add functions like those of a role, each with a workspace of so many bytes. */
function withMore(manifest: Manifest, role: Role, more: Role, workspaces: number[]): Manifest {
  const entries = manifest.entry_points.filter((entry) => entry.role === role);
  const added = workspaces.map((workspace_bytes, index) => ({
    ...{ ...entries[index % entries.length]!, role: more, name: `${more}_${index}` },
    workspace_bytes,
  }));
  return { ...manifest, entry_points: [...manifest.entry_points, ...added] };
}

test("memory is planned as wsd/compiler/memory.py plans it", () => {
  // What it planned for the bundle that never had more.
  expect(chooseEncoders(withOptional(), false).peak_bytes).toEqual(MANIFEST.peak_bytes);
  const before = plan(withOptional());
  const workOf = (role: Role): number[] =>
    MANIFEST.entry_points
      .filter((entry) => entry.role === role)
      .map((entry) => entry.workspace_bytes);
  const [decoding = NaN] = workOf("vae_decoder");
  const bytesOf = (...roles: Role[]): number =>
    Object.values(MANIFEST.components)
      .filter(({ role }) => roles.includes(role))
      .reduce((total, { bytes }) => total + bytes, 0);
  const shared = [...workOf("linear_combination"), ...workOf("image_to_rgba")].reduce(
    (total, bytes) => total + bytes,
  );
  // Of the denoisers one runs at a time.
  const chunked = withMore(
    withOptional(),
    "guided_denoiser",
    "guided_chunked_denoiser",
    [3e7, 2e7],
  );
  expect(plan(chunked)).toEqual({
    whole: before.whole - decoding + 3e7,
    apart: bytesOf("denoiser") + 3e7 + shared,
  });
  // With a deep cache the outermost layers run in turn with the whole, and both keep theirs.
  const caching = withMore(chunked, "guided_denoiser", "guided_shallow_denoiser", [5e6, 4e6]);
  expect(plan(caching)).toEqual({
    whole: before.whole - decoding + 3e7 + 5e6,
    apart: bytesOf("denoiser") + 3e7 + 5e6 + shared,
  });
  // The encoders' workspaces are there together, with clip skip and without it.
  const layered = withMore(withOptional(), "text_encoder", "layered_text_encoder", [3e7, 2e7]);
  const first = withOptional().entry_points.filter(({ role }) => role === "text_encoder");
  const others = first.filter(({ component }) => component !== "more");
  const encoding = others.reduce((total, entry) => total + entry.workspace_bytes, 5e7);
  expect(plan(layered)).toEqual({
    whole: before.whole - decoding + encoding,
    apart: bytesOf("text_encoder") + encoding + shared,
  });
  // Where no function guides, the others are planned for.
  const unguided = withMore(withOptional(), "denoiser", "chunked_denoiser", [3e7]);
  const without = {
    ...unguided,
    entry_points: unguided.entry_points.filter(({ role }) => role !== "guided_denoiser"),
  };
  expect(plan(without).whole).toBe(before.whole - decoding + 3e7);
});

test("nothing of an encoder that is left out is fetched, or planned for", () => {
  const whole = withOptional();
  const without = chooseEncoders(whole, false);
  expect(without.components).toEqual(MANIFEST.components);
  expect(without.tokenizers).toEqual(MANIFEST.tokenizers);
  expect(without.entry_points).toEqual(MANIFEST.entry_points);
  expect(without.conditioning).toEqual(MANIFEST.conditioning);
  expect(whole).toEqual(withOptional());
});
