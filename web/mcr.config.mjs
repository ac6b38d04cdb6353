export default {
  outputDir: "../out/coverage-unit",
  reports: ["raw"],
  logging: "error",
};
