/** Which precisions of a model a GPU can take, as the rules of its bundle say. */

import type { Manifest, Rule } from "../bundle/manifest";
import { leastBufferBytes } from "./buffer_limits";
import type { DescribedGpu } from "./selection_rules";
import { describeGpu, findRefusal, readRules } from "./selection_rules";

/**
 * Find the rule that refuses a model, in weights of its precision, on a GPU.
 *
 * @param ignored the option `ignoredRules`.
 * @returns undefined if the model can run.
 * @throws OptionError if no rule has one of the ignored names.
 * @throws UnsupportedError if a rule is not of a kind that this version knows.
 */
export function findPrecisionRefusal(
  manifest: Manifest,
  adapter: DescribedGpu,
  ignored: string | undefined,
): Rule | undefined {
  const { model, requires, pipeline } = manifest;
  return findRefusal(readRules(manifest, ignored).precisions, {
    ...describeGpu(adapter),
    problem: { kind: "model", model: model.name, family: model.family, pipeline },
    candidate: {
      name: model.dtype,
      features: requires.features,
      limits: requires.limits,
      buffer_bytes: leastBufferBytes(manifest),
    },
    asked: { named: false },
  });
}
