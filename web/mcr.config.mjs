/** Where the coverage of the TypeScript unit tests goes, for lint/coverage.mjs to join. */
export default {
  outputDir: "../out/coverage-unit",
  reports: ["raw"],
  logging: "error",
};
