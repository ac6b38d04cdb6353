/** Messages on the console, of the page and of its worker. */

/** From none to all. */
export const LOG_LEVELS = ["silent", "error", "warn", "info", "debug"] as const;

/** Which messages are written, from none to all: those of this level and of those before it. */
export type Level = (typeof LOG_LEVELS)[number];

let wanted = LOG_LEVELS.indexOf("warn");

/** Set which messages are written from now on in this thread; undefined changes nothing. */
export function setLogLevel(level: Level | undefined): void {
  if (level !== undefined) wanted = LOG_LEVELS.indexOf(level);
}

/** Write a sentence to the console, unless its level is not wanted. */
export function log(level: Exclude<Level, "silent">, text: string): void {
  if (LOG_LEVELS.indexOf(level) > wanted) return;
  console[level](`web-stable-diffusion: ${text}`);
}
