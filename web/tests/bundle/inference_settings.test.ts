/** Settings are merged from manifest, page and call, and refused by their path. */

import { readFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

import {
  evictedStages,
  inLeastMemory,
  memoryOf,
  merge,
  mergeSettings,
  pageSettings,
} from "../../src/bundle/inference_settings";
import { parseManifest } from "../../src/bundle/manifest";
import type { Manifest, Size } from "../../src/bundle/manifest";
import { planPeak } from "../../src/bundle/peak_memory";
import { canTile, findTile, tileSizes } from "../../src/bundle/tiles";
import { OptionError } from "../../src/util/errors";
import { checkSettings } from "../../src/util/schema_check";
import { STAGES } from "../../src/util/settings_schema.generated";
import type { DiffusionSettings } from "../../src/util/settings_schema.generated";

/** One model, of pictures of 192x192 in tiles of 96, from text encoders, a UNet and a decoder. */
const MANIFEST = parseManifest(
  readFileSync("../tests/fixtures/manifest-v2.json", "utf8"),
  "m.json",
);

/** The same, which draws pictures of 384x384 too. */
const LARGER: Manifest = {
  ...MANIFEST,
  entry_points: [
    ...MANIFEST.entry_points,
    ...MANIFEST.entry_points
      .filter(({ size }) => size !== null)
      .map((entry) => ({
        ...entry,
        name: `${entry.name}_larger`,
        size: [384, 384] as const,
        inputs: entry.inputs.map((input) => ({
          ...input,
          shape: input.shape.map((edge) => (edge === 24 ? 48 : edge)),
        })),
      })),
  ],
};

function fault(work: () => unknown): Pick<OptionError, "message" | "hint"> {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(OptionError);
    return error as OptionError;
  }
  throw new Error("nothing was refused");
}

describe("merging", () => {
  test("without settings they are the manifest's, and nothing of them is left out", () => {
    const { diffusion, sources } = mergeSettings(MANIFEST, {}, {});
    expect(diffusion).toEqual({
      scheduler: { type: "dpmpp_2m", numSteps: 20, guidanceScale: 3, eta: 0 },
      latent: { width: 24, height: 24, channels: 4, dtype: "float32" },
      textEncoder: { maxLength: 77 },
      decode: {
        outputDtype: "float32",
        tiling: { enabled: false, tileSize: 96, overlap: 0.25 },
      },
      swapper: {
        enabled: false,
        strategy: "sequential",
        evict: ["text_encoder", "denoiser", "vae_decoder"],
      },
      quantization: { weightDtype: "f32", dequantize: "none" },
    });
    expect(Object.keys(sources)).toHaveLength(18);
    expect(new Set(Object.values(sources))).toEqual(new Set(["manifest"]));
  });

  test("the call wins over the page, and the page over the manifest", () => {
    const page: DiffusionSettings = {
      scheduler: { type: "euler", numSteps: 8 },
      swapper: { enabled: true, evict: ["denoiser"] },
    };
    const call: DiffusionSettings = {
      scheduler: { numSteps: 4 },
      decode: { tiling: { overlap: 0.5 } },
      swapper: { evict: ["vae_decoder", "text_encoder"] },
    };
    const { diffusion, sources } = mergeSettings(MANIFEST, page, call);
    expect(diffusion.scheduler).toMatchObject({ type: "euler", numSteps: 4, guidanceScale: 3 });
    expect(diffusion.decode.tiling).toEqual({ enabled: false, tileSize: 96, overlap: 0.5 });
    // A list is taken whole.
    expect(diffusion.swapper.evict).toEqual(["vae_decoder", "text_encoder"]);
    expect(sources).toMatchObject({
      "scheduler.type": "page",
      "scheduler.numSteps": "call",
      "scheduler.guidanceScale": "manifest",
      "decode.tiling.overlap": "call",
      "decode.tiling.tileSize": "manifest",
      "swapper.enabled": "page",
      "swapper.evict": "call",
    });
    expect(page.scheduler?.numSteps).toBe(8);
  });

  test("plain load options win over the page's settings", () => {
    const settings: DiffusionSettings = {
      swapper: { enabled: false, evict: ["denoiser"] },
      decode: { tiling: { enabled: true, overlap: 0.1 } },
    };
    expect(pageSettings({ settings, offload: true, tiling: false })).toEqual({
      swapper: { enabled: true, evict: ["denoiser"] },
      decode: { tiling: { enabled: false, overlap: 0.1 } },
    });
    expect(pageSettings({ settings })).toEqual(settings);
    expect(pageSettings({})).toEqual({ decode: { tiling: {} }, swapper: {} });
  });

  test("what is null was not given", () => {
    const given = { scheduler: { eta: null }, latent: null } as unknown as DiffusionSettings;
    checkSettings(given);
    expect(mergeSettings(MANIFEST, given, given).diffusion).toEqual(
      mergeSettings(MANIFEST, {}, {}).diffusion,
    );
    expect(merge({ one: null, two: 2 }, { one: undefined, two: null })).toEqual({ two: 2 });
  });

  test("in the least memory every stage is evicted, and the tiles stay as they are", () => {
    const call = { decode: { tiling: { overlap: 0.4 } }, swapper: { evict: [] } };
    const memory = memoryOf(mergeSettings(MANIFEST, {}, call).diffusion);
    expect(evictedStages(memory.swapper)).toEqual([]);
    expect(inLeastMemory(memory)).toEqual({
      tiling: { enabled: true, tileSize: 96, overlap: 0.4 },
      swapper: { enabled: true, strategy: "sequential", evict: STAGES },
    });
  });
});

describe("what the schema refuses before the model is known", () => {
  test.each<[unknown, string, string]>([
    [7, " is 7", "it must be an object"],
    [{ tiling: {} }, ' has no setting "tiling"', "settings there: scheduler, latent"],
    [{ decoder: {} }, ' has no setting "decoder"', "did you mean decode?"],
    [{ decode: { tiling: true } }, ".decode.tiling is true", "it must be an object"],
    [
      { decode: { tiling: { overlap: 0.51 } } },
      ".decode.tiling.overlap is 0.51",
      "it must be a number from 0 to 0.5",
    ],
    [{ decode: { tiling: { overlap: "0.2" } } }, '.decode.tiling.overlap is "0.2"', "a number"],
    [{ decode: { tiling: { overlap: NaN } } }, ".decode.tiling.overlap is NaN", "a number"],
    [{ decode: { tiling: { overlap: -0.1 } } }, ".decode.tiling.overlap is -0.1", "from 0"],
    [{ decode: { tiling: { tileSize: 0 } } }, ".decode.tiling.tileSize is 0", "a whole number"],
    [{ decode: { tiling: { tileSize: 96.5 } } }, ".decode.tiling.tileSize is 96.5", "from 1"],
    [{ decode: { tiling: { enabled: 1 } } }, ".decode.tiling.enabled is 1", "true or false"],
    [{ decode: { outputDtype: "uint8" } }, '.decode.outputDtype is "uint8"', "one of: "],
    [{ swapper: { strategy: "lru" } }, '.swapper.strategy is "lru"', 'it must be "sequential"'],
    [{ swapper: { evict: "all" } }, '.swapper.evict is "all"', "it must be a list"],
    [{ swapper: { evict: ["unet"] } }, '.swapper.evict.0 is "unet"', '"denoiser"'],
    [
      { swapper: { evict: ["denoiser", "denoiser"] } },
      ".swapper.evict names something twice",
      "once",
    ],
    [{ scheduler: { type: 5 } }, ".scheduler.type is 5", "it must be a text"],
    [{ scheduler: { guidanceScale: 51 } }, ".scheduler.guidanceScale is 51", "to 50"],
    [{ scheduler: { eta: 1.5 } }, ".scheduler.eta is 1.5", "from 0 to 1"],
    [{ scheduler: { numSteps: 0 } }, ".scheduler.numSteps is 0", "a whole number from 1"],
    [{ quantization: { weightDtype: "q4" } }, '.quantization.weightDtype is "q4"', '"w8a16"'],
    [{ latent: { width: "64" } }, '.latent.width is "64"', "a whole number"],
  ])("%j", (given, message, hint) => {
    const found = fault(() => checkSettings(given));
    expect(found.message).toBe(`inference.diffusion${message}`);
    expect(found.hint).toContain(hint);
  });
});

describe("what a model refuses", () => {
  test.each<[DiffusionSettings, string, string]>([
    [{ scheduler: { type: "ddim" } }, 'scheduler.type is "ddim"', '"dpmpp_2m", "euler"'],
    [{ scheduler: { type: "constructor" } }, 'scheduler.type is "constructor"', '"euler"'],
    [{ scheduler: { numSteps: 101 } }, "scheduler.numSteps is 101", "from 1 to 100"],
    [{ latent: { width: 25 } }, "latent.width is 25", "it must be 24"],
    [{ latent: { height: 48 } }, "latent.height is 48", "it must be 24"],
    [{ latent: { channels: 16 } }, "latent.channels is 16", "it must be 4"],
    [{ latent: { dtype: "int32" } }, 'latent.dtype is "int32"', '"float32"'],
    [{ textEncoder: { maxLength: 75 } }, "textEncoder.maxLength is 75", "it must be 77"],
    [{ decode: { outputDtype: "int32" } }, 'decode.outputDtype is "int32"', '"float32"'],
    [{ decode: { tiling: { tileSize: 128 } } }, "decode.tiling.tileSize is 128", "96, 192"],
    [{ swapper: { evict: ["vae_encoder"] } }, 'swapper.evict.0 is "vae_encoder"', '"denoiser"'],
    [{ quantization: { weightDtype: "f16" } }, 'quantization.weightDtype is "f16"', '"f32"'],
    [{ quantization: { dequantize: "kernel" } }, 'quantization.dequantize is "kernel"', '"none"'],
  ])("%j", (given, message, hint) => {
    for (const merged of [
      () => mergeSettings(MANIFEST, given, {}),
      () => mergeSettings(MANIFEST, {}, given),
    ]) {
      const found = fault(merged);
      expect(found.message).toBe(`inference.diffusion.${message}`);
      expect(found.hint).toContain(hint);
    }
  });

  test("a tile that is larger than the picture", () => {
    const given = { decode: { tiling: { tileSize: 192 } } };
    const sizes: Size[] = [
      [384, 384],
      [192, 192],
    ];
    for (const size of sizes) mergeSettings(LARGER, {}, given, size);
    const larger = { decode: { tiling: { tileSize: 384 } } };
    mergeSettings(LARGER, larger, {});
    const found = fault(() => mergeSettings(LARGER, larger, {}, [192, 192]));
    expect(found.message).toBe("inference.diffusion.decode.tiling.tileSize is 384");
    expect(found.hint).toBe("it must be one of: 96, 192");
    // The default tile is no fault of anybody's: such a picture is decoded whole.
    const small = mergeSettings(LARGER, {}, { decode: { tiling: { enabled: true } } }, [192, 192]);
    expect(small.diffusion.decode.tiling.tileSize).toBe(96);
  });

  test("a height that no picture of the width has", () => {
    const wide: Manifest = {
      ...LARGER,
      entry_points: LARGER.entry_points.map((entry) =>
        entry.size?.[0] === 384
          ? {
              ...entry,
              size: [384, 192] as const,
              inputs: entry.inputs.map((input) => ({ ...input, shape: [1, 4, 24, 48] })),
            }
          : entry,
      ),
    };
    expect(mergeSettings(wide, {}, { latent: { width: 48 } }).diffusion.latent.height).toBe(24);
    const found = fault(() => mergeSettings(wide, {}, { latent: { width: 48, height: 48 } }));
    expect(found.message).toBe("inference.diffusion.latent.height is 48");
  });
});

describe("tiles", () => {
  test("are those that a bundle has functions for", () => {
    expect(tileSizes(MANIFEST)).toEqual([96, 192]);
    expect(tileSizes(LARGER)).toEqual([96, 192, 384]);
    expect(tileSizes(LARGER, [384, 192])).toEqual([96, 192]);
    expect(tileSizes(LARGER, [64, 64])).toEqual([]);
    expect(findTile(LARGER, "vae_decoder", 96).name).toBe("vae_decoder_tile");
    expect(findTile(LARGER, "vae_decoder", 192).name).toBe("vae_decoder_192x192");
    expect(() => findTile(LARGER, "vae_decoder", 128)).toThrow(OptionError);
  });

  test("cover pictures that are larger", () => {
    expect(canTile(MANIFEST, [192, 192])).toBe(true);
    expect(canTile(MANIFEST, [96, 96])).toBe(false);
    expect(canTile(LARGER, [192, 192], 192)).toBe(false);
    expect(canTile(LARGER, [384, 192], 192)).toBe(true);
  });
});

describe("memory", () => {
  const bytes = (name: string): number => MANIFEST.components[name]!.bytes;
  const size = MANIFEST.defaults.size;

  test("is what the manifest states of the ways that it lists", () => {
    for (const peak of MANIFEST.peak_bytes) {
      const way = { size, evict: peak.offload ? STAGES : [], tile: undefined, image: false };
      expect(planPeak(MANIFEST, way)).toBe(peak.bytes);
      const swapper = { swapper: { enabled: peak.offload } };
      expect(mergeSettings(MANIFEST, swapper, {}).peakBytes).toBe(peak.bytes);
    }
  });

  test("counts a stage that is kept while the others run", () => {
    const plan = (...evict: (typeof STAGES)[number][]): number =>
      mergeSettings(MANIFEST, {}, { swapper: { enabled: true, evict } }).peakBytes;
    const [whole, apart] = MANIFEST.peak_bytes.map((peak) => peak.bytes) as [number, number];
    expect(plan()).toBe(whole);
    expect(plan("text_encoder", "denoiser", "vae_decoder")).toBe(apart);
    // The UNet's stage is the largest, and the text encoders are kept beside it.
    const texts = bytes("text_encoder") + bytes("text_encoder_2");
    expect(plan("denoiser", "vae_decoder")).toBe(apart + texts);
    expect(plan("text_encoder", "vae_decoder")).toBeGreaterThan(apart);
    // What is named has no effect unless it is enabled.
    const off = { swapper: { evict: ["denoiser" as const] } };
    expect(mergeSettings(MANIFEST, {}, off).peakBytes).toBe(whole);
  });

  test("depends on the tile", () => {
    const plan = (tileSize: number): number =>
      mergeSettings(LARGER, {}, { decode: { tiling: { enabled: true, tileSize } } }, [384, 384])
        .peakBytes;
    const workOf = (name: string): number =>
      MANIFEST.entry_points.find((entry) => entry.name === name)!.workspace_bytes;
    const smaller = Math.max(workOf("vae_decoder_tile"), workOf("guided_unet_192x192"));
    expect(plan(192) - plan(96)).toBe(workOf("vae_decoder_192x192") - smaller);
  });
});
