// Draws with the worker's file that was copied beside this program.
import { draw } from "./draw.js";

await draw({ workerUrl: new URL("./copied-worker.js", import.meta.url) });
