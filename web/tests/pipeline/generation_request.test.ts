import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { OptionError } from "../../src/api/errors";
import type { Manifest } from "../../src/bundle/manifest";
import { describeRequest, resolveOptions } from "../../src/pipeline/generation_request";
import { formatSettings, parseSettings } from "../../src/settings/infotext";

const manifest = {
  defaults: { steps: 20, guidance_scale: 7.5, size: [128, 128] },
  schedulers: {
    default: "dpmpp_2m",
    available: { dpmpp_2m: { max_steps: 100 }, lcm: { max_steps: 50 } },
  },
  entry_points: [
    { name: "denoiser_128x128", role: "denoiser", component: "unet", size: [128, 128] },
    { name: "denoiser_192x128", role: "denoiser", component: "unet", size: [192, 128] },
  ],
} as unknown as Manifest;

describe("resolveOptions", () => {
  test("takes the model's defaults", () => {
    expect(resolveOptions(manifest, {})).toEqual({
      negativePrompt: undefined,
      steps: 20,
      guidanceScale: 7.5,
      seed: 0,
      size: [128, 128],
      scheduler: "dpmpp_2m",
      eta: 0,
      images: 1,
      previewEvery: 0,
    });
  });

  test("takes the noise that a fine-tune is to be drawn with, unless it is given", () => {
    const defaults = { ...manifest.defaults, eta: 0.3 };
    const tuned = { ...manifest, defaults };
    expect(resolveOptions(tuned, {}).eta).toBe(0.3);
    expect(resolveOptions(tuned, { eta: 0 }).eta).toBe(0);
  });

  test("keeps what is given, zero included", () => {
    const given = { seed: 7, guidanceScale: 0, numInferenceSteps: 1, width: 192, height: 128 };
    expect(resolveOptions(manifest, given)).toMatchObject({
      seed: 7,
      guidanceScale: 0,
      steps: 1,
      size: [192, 128],
    });
  });

  test.each([-1, 2 ** 32, 2 ** 53 - 1, -(2n ** 63n), 2n ** 64n - 1n, 7n])(
    "takes the seed %s as torch does, and keeps it as it is",
    (seed) => {
      expect(resolveOptions(manifest, { seed }).seed).toBe(seed);
    },
  );

  test.each([-(2n ** 63n) - 1n, 2n ** 64n])("refuses the seed %s as torch does", (seed) => {
    expect(() => resolveOptions(manifest, { seed })).toThrow(OptionError);
  });

  test.each([
    [{ numInferenceSteps: 0 }, "1 to 100"],
    [{ numInferenceSteps: 101 }, "1 to 100"],
    [{ numInferenceSteps: 51, scheduler: "lcm" }, "1 to 50"],
    [{ scheduler: "magic" }, "dpmpp_2m, lcm"],
    [{ eta: 1.5 }, "0 to 1"],
    [{ numImages: 0 }, "1 to 16"],
    [{ previewEvery: -1 }, "0 to 100"],
    [{ numInferenceSteps: 1.5 }, "whole number"],
    [{ seed: 1.5 }, "-9223372036854775808 to 18446744073709551615"],
    [{ seed: Number.NaN }, "whole number"],
    [{ seed: Infinity }, "whole number"],
    [{ seed: "7" as unknown as number }, "whole number"],
    [{ seed: 2 ** 53 }, "as a bigint"],
    [{ seed: -(2 ** 63) }, "as a bigint"],
    [{ guidanceScale: Number.NaN }, "0 to 50"],
    [{ guidanceScale: 51 }, "0 to 50"],
    [{ width: 64 }, "128x128, 192x128"],
  ])("refuses %j and says what is allowed", (options, allowed) => {
    let thrown: unknown;
    try {
      resolveOptions(manifest, options);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(OptionError);
    expect((thrown as OptionError).hint).toContain(allowed);
  });
});

describe("the settings of a picture", () => {
  const share = fc.constantFrom(0, 0.3, 0.5, 1);
  const scale = fc.constantFrom(0, 1, 5, 7.5);
  const steps = fc.integer({ min: 1, max: 50 });
  const scheduler = fc.constantFrom("dpmpp_2m", "lcm");
  const side = fc.constantFrom(128, 192);

  test("draw it again, whatever the defaults of the model that reads them", () => {
    const defaults = fc.record({
      ...{ steps, guidance_scale: scale, eta: share, size: fc.constant([128, 128]) },
    });
    const options = fc.record(
      {
        negativePrompt: fc.constantFrom("", "dog"),
        numInferenceSteps: steps,
        guidanceScale: scale,
        seed: fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }), fc.nat()),
        width: side,
        scheduler,
        eta: share,
        numImages: fc.integer({ min: 1, max: 16 }),
      },
      { requiredKeys: [] },
    );
    const model = { ...manifest, model: { name: "toy" } } as unknown as Manifest;
    fc.assert(
      fc.property(defaults, defaults, options, (mine, theirs, given) => {
        const drawn = resolveOptions({ ...model, defaults: mine }, given);
        const text = formatSettings(describeRequest(model, "a cat", drawn));
        const { prompt, steps: numInferenceSteps, ...read } = parseSettings(text);
        const again = {
          ...read,
          ...(numInferenceSteps === undefined ? {} : { numInferenceSteps }),
        };
        const redrawn = resolveOptions({ ...model, defaults: theirs }, again as object);
        expect(prompt).toBe("a cat");
        expect({ ...redrawn, seed: BigInt(redrawn.seed) }).toEqual({
          ...drawn,
          seed: BigInt(drawn.seed),
        });
      }),
    );
  });
});
