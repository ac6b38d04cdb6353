/** Describes a self-test: a verdict, and a report to paste into an issue. */

import type { Manifest, StageReport } from "../index";
import { FetchError, IntegrityError, UnsupportedError, WsdError } from "../index";
import { describeVariants, gpuName } from "./dom";

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
export function verdict({ stages, error }: Found): string {
  if (error instanceof IntegrityError) return "The download is at fault: a file is damaged.";
  if (error instanceof FetchError) return "The download is at fault: a file cannot be had.";
  if (error instanceof UnsupportedError) return "This browser or GPU lacks what the model needs.";
  if (error !== undefined) return "The self-test could not be finished.";
  const bad = stages.filter(({ good }) => !good);
  if (bad.length === 0) return "All is well: the GPU computes what PyTorch does.";
  const names = bad.map(({ stage }) => stage).join(", ");
  return `The files are right, but the GPU or its driver computes wrongly: ${names}.`;
}

/** Write a stage's figures as table cells. */
export function stageCells({
  stage,
  error,
  limit,
  repeats,
  milliseconds,
  good,
  variants,
}: StageReport): string[] {
  return [
    stage,
    good ? "good" : "BAD",
    error.toExponential(1),
    limit.toExponential(0),
    repeats ? "yes" : "NO",
    `${milliseconds.toFixed(0)} ms`,
    describeVariants(variants),
  ];
}

export const STAGE_HEADINGS = ["Stage", "Result", "Error", "Limit", "Repeats", "Time", "Kernels"];

/** Write the report as Markdown. */
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
  const table = [STAGE_HEADINGS, STAGE_HEADINGS.map(() => "---"), ...stages.map(stageCells)];
  const described = error instanceof WsdError ? `${error.name}: ${error.message}` : String(error);
  return [
    `**${verdict(found)}**`,
    "",
    ...lines,
    ...notices.map((notice) => `- Notice: ${notice}`),
    ...(error === undefined ? [] : [`- Error: ${described}`]),
    ...(stages.length === 0 ? [] : ["", ...table.map((cells) => `| ${cells.join(" | ")} |`)]),
    "",
  ].join("\n");
}
