/** The TypeScript unit tests: which files, and how their coverage is counted. */
import { defineConfig } from "vitest/config";

/** Shaders are imported as texts, as esbuild's loader gives them (bundler.mjs). */
const shaders = {
  name: "shaders",
  transform: (code: string, id: string) =>
    id.endsWith(".wgsl") ? `export default ${JSON.stringify(code)}` : undefined,
};

const ALL = "tests/**/*.test.ts";
/** They measure what their process takes. */
const ALONE = "tests/mutations.test.ts";

export default defineConfig({
  plugins: [shaders],
  resolve: { alias: { tvmjs: new URL("tests/no_tvmjs.ts", import.meta.url).pathname } },
  test: {
    projects: [
      // A thread for each file takes less of the processor than a process for each.
      {
        extends: true,
        test: { name: "threads", pool: "threads", include: [ALL], exclude: [ALONE] },
      },
      { extends: true, test: { name: "alone", pool: "forks", include: [ALONE] } },
    ],
    // Tests of many random inputs take seconds where other suites run beside them.
    testTimeout: 30_000,
    coverage: {
      enabled: true,
      // lint/coverage.mjs joins it with the coverage of browsers.
      provider: "custom",
      customProviderModule: "vitest-monocart-coverage",
      include: ["src/**/*.ts"],
    },
  },
});
