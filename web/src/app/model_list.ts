/** The bundle's models, and the one that the page's address names. */

import type { ListedModel } from "../index";
import { listModels } from "../index";

/** List the models, and choose the one that `?model=` names, or else the first. */
export async function offeredModels(): Promise<{ models: ListedModel[]; wanted: ListedModel }> {
  const models = await listModels("models/index.json");
  const name = new URLSearchParams(location.search).get("model");
  return { models, wanted: models.find((model) => model.name === name) ?? models[0]! };
}
