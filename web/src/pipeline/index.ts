/** The pipelines that this build draws with: one line each. */

import { registerPipeline } from "./registry";
import { loadTextToImage } from "./text_to_image";

registerPipeline("text-to-image", loadTextToImage);

export { loadPipeline } from "./registry";
export type { Pipeline, Stages } from "./registry";
