import { afterEach, expect, test, vi } from "vitest";

import { log, LOG_LEVELS, setLogLevel } from "../../src/util/log";

afterEach(() => {
  setLogLevel("warn");
  vi.restoreAllMocks();
});

test.each(LOG_LEVELS)("at the level %s, messages up to it are written", (level) => {
  const levels = LOG_LEVELS.filter((each) => each !== "silent");
  const calls = levels.map((each) => vi.spyOn(console, each).mockReturnValue());
  setLogLevel(level);
  setLogLevel(undefined);
  for (const each of levels) log(each, "a sentence");
  const written = calls.flatMap(({ mock }) => mock.calls.map(([text]) => String(text)));
  expect(written).toEqual(
    Array(LOG_LEVELS.indexOf(level)).fill("web-stable-diffusion: a sentence"),
  );
});
