// Draws with the worker at the address that Vite gives it.
import workerUrl from "web-stable-diffusion/worker.js?url";

import { draw } from "./draw.js";

await draw({ workerUrl });
