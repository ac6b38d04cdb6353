// Vite 5 to 7 move the package in development and leave its worker behind, unless it is excluded.
const { EXCLUDE, CACHE } = process.env;

export default {
  base: "./",
  cacheDir: CACHE,
  logLevel: "warn",
  optimizeDeps: { exclude: EXCLUDE === undefined ? [] : ["web-stable-diffusion"] },
  build: {
    // Pages that wait at their top for a picture.
    target: "es2022",
    rollupOptions: { input: ["index.html", "react.html", "worker.html", "worker_url.html"] },
  },
  worker: { format: "es" },
};
