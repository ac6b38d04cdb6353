/** Which LoRAs are fast variants, and what suits them in a bundle. */

import { expect, it } from "vitest";

import { findFastVariant, suggestSettings } from "../../src/adapters/fast_variants";
import type { Manifest } from "../../src/index";
import { FAST_VARIANTS } from "../../src/util/constants.generated";

const DISTILLED = "lora_unet_down_blocks_0_resnets_0_conv1.lora_down.weight";
const STYLE = "lora_unet_down_blocks_1_attentions_0_proj_in.lora_down.weight";
const TEXT = "lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha";

const bundle = (encoders: number, schedulers: Record<string, string>): Manifest =>
  ({
    entry_points: [],
    conditioning: { encoders: Array<string>(encoders).fill("text") },
    schedulers: {
      default: "dpmpp_2m",
      available: Object.fromEntries(
        Object.entries(schedulers).map(([name, spacing]) => [name, { timestep_spacing: spacing }]),
      ),
    },
  }) as unknown as Manifest;
const XL = bundle(2, {});

it.each([
  ["sdxl_lightning_4step_lora", "lightning-4step"],
  ["Hyper-SDXL-8steps-lora", "hyper-8step"],
  ["Hyper-SDXL-8steps-CFG-lora", "hyper-8step-cfg"],
  ["Hyper-SD15-12steps-CFG-lora", "hyper-12step-cfg"],
  ["/latent-consistency/lcm-lora-sdxl/resolve/main", "lcm-lora"],
  ["dmd2_sdxl_4step_lora_fp16", "dmd2-4step"],
  ["turbocharged", undefined],
  ["calcium", undefined],
])("%s", (name, found) => {
  expect(findFastVariant([name], {}, [DISTILLED], XL)).toBe(found);
  expect(findFastVariant([], { "modelspec.title": name }, [DISTILLED], XL)).toBe(found);
  // Styles of that name: what they change, or what their metadata says, tells.
  expect(findFastVariant([name], {}, [STYLE], XL)).toBeUndefined();
  expect(findFastVariant([name], {}, [DISTILLED, TEXT], XL)).toBeUndefined();
  expect(findFastVariant([name], { ss_tag_frequency: "" }, [DISTILLED], XL)).toBeUndefined();
});

it("the title of the metadata counts first, and only the beginning of a text", () => {
  const of = (title: string): string | undefined =>
    findFastVariant(["tcd"], { ss_output_name: title }, [DISTILLED], XL);
  expect([of("lcm"), of("a style"), of(`${" ".repeat(1e6)}lcm`)]).toEqual([
    "lcm-lora",
    "tcd",
    "tcd",
  ]);
  // Of SD 1.5 there is no Lightning.
  const sd = bundle(1, {});
  expect(findFastVariant(["sd lightning 4step"], {}, [DISTILLED], sd)).toBeUndefined();
});

it("the scheduler that suits is suggested, or the nearest, and then the one that lacks is named", () => {
  const suggest = (schedulers: Record<string, string>, name = "lightning-4step"): unknown => {
    const { scheduler, missingScheduler } = suggestSettings(name, bundle(2, schedulers))!;
    return [scheduler, missingScheduler];
  };
  expect(suggest({ euler: "leading", euler_trailing: "trailing" })).toEqual([
    "euler_trailing",
    undefined,
  ]);
  expect(suggest({ euler: "trailing" })).toEqual(["euler", undefined]);
  expect(suggest({ euler: "leading" })).toEqual(["euler", "euler_trailing"]);
  expect(suggest({ dpmpp_2m: "leading" })).toEqual(["dpmpp_2m", "euler_trailing"]);
  expect(suggest({ lcm: "leading" }, "tcd")).toEqual(["lcm", "tcd"]);
  expect(suggestSettings("tcd", bundle(1, { tcd: "leading" }))).toEqual({
    ...{ fastVariant: "tcd", scheduler: "tcd", numInferenceSteps: 4, guidanceScale: 0, eta: 0.3 },
  });
  for (const name of [undefined, "", "nothing"]) expect(suggestSettings(name, XL)).toBeUndefined();
  for (const { name } of FAST_VARIANTS) expect(suggestSettings(name, XL)).toBeDefined();
});
