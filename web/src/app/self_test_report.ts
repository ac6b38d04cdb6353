/** Describes a self-test: a verdict, and a report to paste into an issue. */

import type { Manifest, StageReport } from "../index";
import { FetchError, IntegrityError, UnsupportedError, WsdError } from "../index";
import { describeVariants, gpuName } from "./dom";
import type { Strings } from "./strings";
import { english } from "./strings/english";
import { createWriter } from "./strings/writer";

/** What a self-test found. */
export interface Found {
  manifest?: Manifest;
  adapter?: Record<string, string>;
  /** Problems that the pipeline recovered from, as sentences. */
  notices: string[];
  stages: StageReport[];
  /** The error that ended the test early, if there was one. */
  error?: unknown;
}

/** Say in a sentence whether the files, the GPU or nothing is at fault. */
export function verdict({ stages, error }: Found, text: Strings): string {
  if (error instanceof IntegrityError) return text.verdictDamaged;
  if (error instanceof FetchError) return text.verdictMissing;
  if (error instanceof UnsupportedError) return text.verdictUnsupported;
  if (error !== undefined) return text.verdictUnfinished;
  const bad = stages.filter(({ good }) => !good);
  if (bad.length === 0) return text.verdictGood;
  return text.verdictGpu(bad.map(({ stage }) => stage).join(", "));
}

/** Write a stage's figures as table cells. */
export function stageCells(
  { stage, error, limit, repeats, milliseconds, good, variants }: StageReport,
  text: Strings,
): string[] {
  return [
    stage,
    good ? text.stageGood : text.stageBad,
    error.toExponential(1),
    limit.toExponential(0),
    repeats ? text.stageRepeatable : text.stageUnsteady,
    `${milliseconds.toFixed(0)} ms`,
    describeVariants(variants),
  ];
}

/** The headings of the columns that {@link stageCells} fills. */
export function stageHeadings(text: Strings): string[] {
  return [
    text.stageName,
    text.stageResult,
    text.stageError,
    text.stageLimit,
    text.stageRepeats,
    text.stageTime,
    text.stageKernels,
  ];
}

/** Write the report as Markdown, in English: those who read issues do. */
export function writeReport(found: Found, environment: Record<string, string>): string {
  const { manifest, adapter, notices, stages, error } = found;
  const model = manifest?.model;
  const facts = {
    Model: model === undefined ? "" : `${model.name}, ${model.dtype}, of ${model.source}`,
    Built: Object.entries(manifest?.toolchain ?? {})
      .map((pair) => pair.join(" "))
      .join(", "),
    GPU: gpuName(adapter ?? {}),
    ...environment,
  };
  const lines = Object.entries(facts)
    .filter(([, fact]) => fact !== "")
    .map(([name, fact]) => `- ${name}: ${fact}`);
  const text = english(createWriter("en"));
  const headings = stageHeadings(text);
  const cells = stages.map((stage) => stageCells(stage, text));
  const table = [headings, headings.map(() => "---"), ...cells];
  const described = error instanceof WsdError ? `${error.name}: ${error.message}` : String(error);
  return [
    `**${verdict(found, text)}**`,
    "",
    ...lines,
    ...notices.map((notice) => `- Notice: ${notice}`),
    ...(error === undefined ? [] : [`- Error: ${described}`]),
    ...(stages.length === 0 ? [] : ["", ...table.map((line) => `| ${line.join(" | ")} |`)]),
    "",
  ].join("\n");
}
