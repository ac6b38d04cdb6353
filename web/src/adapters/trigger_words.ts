/** Words for prompts that a LoRA's training used: no more of them than anybody reads. */

/** So many words, and characters of each, are taken. */
const MOST_WORDS = 20;
const LONGEST_WORD = 200;

/** Leave out empty words and those that are too many, and cut those that are too long. */
export function clipWords(words: readonly string[]): string[] {
  return words
    .map((word) => word.trim())
    .filter((word) => word !== "")
    .slice(0, MOST_WORDS)
    .map((word) =>
      word
        .slice(0, LONGEST_WORD)
        .replace(/[\ud800-\udbff]$/, "")
        .trim(),
    );
}
