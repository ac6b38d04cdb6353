import { defineConfig } from "vite";

export default defineConfig({
  // The page works under any path, such as https://example.org/my/app/.
  base: "./",
});
