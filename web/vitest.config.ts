/** The TypeScript unit tests: which files, and how their coverage is counted. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    coverage: {
      enabled: true,
      // Joined with what browsers count: lint/coverage.mjs.
      provider: "custom",
      customProviderModule: "vitest-monocart-coverage",
      include: ["src/**/*.ts"],
    },
  },
});
