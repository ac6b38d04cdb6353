export default {
  mode: "production",
  entry: "./src/main.js",
  output: { path: `${import.meta.dirname}/public/assets`, publicPath: "auto", clean: true },
  // The package's worker is copied whole, as it is.
  performance: { hints: false },
};
