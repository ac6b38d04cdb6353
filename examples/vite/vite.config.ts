// Lets the page work under any path, such as https://example.org/my/app/.

import { defineConfig } from "vite";

export default defineConfig({ base: "./" });
