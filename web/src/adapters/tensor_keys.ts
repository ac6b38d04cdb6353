/** The endings of a LoRA's keys, which say what a tensor is. */

/** What a tensor of a layer is. */
export type Part =
  | "down"
  | "up"
  | "mid"
  | "alpha"
  | "magnitude"
  | "dora_scale"
  | "diff"
  | "diff_b"
  | "hada_w1_a"
  | "hada_w1_b"
  | "hada_w2_a"
  | "hada_w2_b"
  | "hada_t1"
  | "hada_t2"
  | "lokr_w1"
  | "lokr_w1_a"
  | "lokr_w1_b"
  | "lokr_w2"
  | "lokr_w2_a"
  | "lokr_w2_b"
  | "lokr_t2";

/** Endings of keys, in the words of kohya, PEFT, diffusers and LyCORIS. */
const ENDINGS: Readonly<Record<string, Part>> = {
  "lora_down.weight": "down",
  "lora_up.weight": "up",
  "lora_mid.weight": "mid",
  "lora_A.weight": "down",
  "lora_B.weight": "up",
  "lora.down.weight": "down",
  "lora.up.weight": "up",
  "lora_linear_layer.down.weight": "down",
  "lora_linear_layer.up.weight": "up",
  "lora_magnitude_vector.weight": "magnitude",
  lora_magnitude_vector: "magnitude",
  alpha: "alpha",
  dora_scale: "dora_scale",
  diff: "diff",
  diff_b: "diff_b",
  w_norm: "diff",
  b_norm: "diff_b",
  hada_w1_a: "hada_w1_a",
  hada_w1_b: "hada_w1_b",
  hada_w2_a: "hada_w2_a",
  hada_w2_b: "hada_w2_b",
  hada_t1: "hada_t1",
  hada_t2: "hada_t2",
  lokr_w1: "lokr_w1",
  lokr_w1_a: "lokr_w1_a",
  lokr_w1_b: "lokr_w1_b",
  lokr_w2: "lokr_w2",
  lokr_w2_a: "lokr_w2_a",
  lokr_w2_b: "lokr_w2_b",
  lokr_t2: "lokr_t2",
};

/** Endings of diffusers' oldest files, whose layers have a name such as `to_q_lora`. */
const OLD_ENDINGS: Readonly<Record<string, Part>> = { "down.weight": "down", "up.weight": "up" };
const OLD_LAYER = "_lora";

/** What PEFT writes before the names of a model that it wrapped. */
const PEFT_LEVEL = "base_model.model.";

/** Parts between whose name and `weight` PEFT writes the adapter's name, `default` for example. */
const NAMED = ["lora_A", "lora_B", "lora_magnitude_vector"];

/** Split a key into the name of a layer and what the tensor is; undefined if it has no such ending. */
export function splitKey(key: string): { module: string; part: Part } | undefined {
  const words = (key.startsWith(PEFT_LEVEL) ? key.slice(PEFT_LEVEL.length) : key).split(".");
  const last = words.length - 1;
  if (NAMED.includes(words[last - 2] ?? "") && words[last] === "weight") words.splice(last - 1, 1);
  else if (words[last - 1] === "lora_magnitude_vector" && words[last] !== "weight") words.pop();
  // The longest ending counts: `lora.down.weight` before `down.weight`.
  for (const length of [3, 2, 1]) {
    const ending = words.slice(-length).join(".");
    if (words.length > length && Object.hasOwn(ENDINGS, ending)) {
      return { module: words.slice(0, -length).join("."), part: ENDINGS[ending]! };
    }
  }
  const old = words.slice(-2).join(".");
  const module = words.slice(0, -2).join(".");
  if (!Object.hasOwn(OLD_ENDINGS, old) || !module.endsWith(OLD_LAYER)) return undefined;
  return { module: module.slice(0, -OLD_LAYER.length), part: OLD_ENDINGS[old]! };
}
