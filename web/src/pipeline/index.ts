/** The pipelines that this build draws with: one line each. */

import { registerPipeline } from "./registry";
import { loadTextToImage } from "./text_to_image";

registerPipeline("text-to-image", loadTextToImage);
// Denoisers that take a mask: they draw parts of pictures anew, and nothing else.
registerPipeline("inpainting", loadTextToImage);

export { loadPipeline } from "./registry";
export type { Pipeline, Stages } from "./registry";
