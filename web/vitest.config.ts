import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/*.test.ts"],
    coverage: {
      enabled: true,
      provider: "v8",
      reporter: [["text", { skipFull: true }]],
      // What needs no browser; the rest is what the tests in a browser are for.
      include: [
        "src/{download,errors,files,fit,integrity,manifest,options,parallel,png}.ts",
        "src/{preview,progress,rng,selftest,settings,tiles,tokenizer,transfer}.ts",
        "src/app/report.ts",
        "src/schedulers/*.ts",
      ],
      thresholds: { lines: 80, branches: 80 },
    },
  },
});
