import { expect, test } from "vitest";

import type { Figures } from "../../src/app/figures_report";
import { listFigures, writeMarkdown } from "../../src/app/figures_report";
import { english } from "../../src/app/strings/english";
import { german } from "../../src/app/strings/german";
import { createWriter } from "../../src/app/strings/writer";

const figures: Figures = {
  model: { name: "sd15", dtype: "f16" } as Figures["model"],
  size: { width: 512, height: 768 },
  images: 1,
  steps: 20,
  guidance: 7.5,
  loading: {
    milliseconds: 8912,
    bytes: { total: 2_000_000_000, kept: 500_000_000 },
    times: {
      ...{ start: 310, weights: 8100, pipelines: 2345, upload: 1230 },
      ...{ fetch: 4321, read: 1010, hash: 2020, write: 3030 },
    },
  },
  timings: { text: 12, denoise: 1203, firstPreview: null, decode: 77.7, total: 1310 },
  usage: { gpuBytes: 1e9, peakGpuBytes: 2.5e9, pipelines: 3, variants: { gemm: 2, generated: 1 } },
  adapter: { vendor: "nvidia", architecture: "hopper", description: "" },
} as unknown as Figures;

test("the report names model, picture, times and GPU, in English and with hundredths", () => {
  expect(writeMarkdown(figures, "Chrome/156")).toBe(
    [
      "| | |",
      "|---|---|",
      "| Model | sd15 f16 |",
      "| Picture | 512×768 |",
      "| Steps | 20 |",
      "| Guidance | 7.5 |",
      "| Ready after | 8.91 s |",
      "| Seconds: start · weights · pipelines | 0.31 · 8.1 · 2.35 |",
      "| Seconds of files: fetch · read · hash · write · upload | 4.32 · 1.01 · 2.02 · 3.03 · 1.23 |",
      "| Files kept before | 500 MB / 2.00 GB |",
      "| Text | 0.01 s |",
      "| Denoising | 1.20 s |",
      "| To the first preview | none |",
      "| Decoding | 0.08 s |",
      "| Whole picture | 1.31 s |",
      "| GPU memory now | 1.00 GB |",
      "| GPU memory at most | 2.50 GB |",
      "| GPU pipelines | 3 |",
      "| Kernel variants | 2 gemm, 1 generated |",
      "| GPU | nvidia hopper |",
      "| Browser | Chrome/156 |",
      "",
    ].join("\n"),
  );
});

test("a batch and a picture that was read have rows of their own", () => {
  const writer = createWriter("en");
  const timings = { ...figures.timings, encode: 300 };
  const rows = listFigures({ ...figures, images: 4, timings }, english(writer), writer);
  expect(rows).toContainEqual(["Pictures", "4"]);
  expect(rows).toContainEqual(["Reading the picture", "0.3 seconds"]);
});

test("the page's table is in the visitor's language", () => {
  const writer = createWriter("de");
  const rows = new Map(listFigures(figures, german(writer), writer));
  expect(rows.get("Bereit nach")).toBe("8,9 Sekunden");
});
