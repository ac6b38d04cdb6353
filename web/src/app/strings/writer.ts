/** Writes numbers, sizes, times and plural forms in one language, as the browser's Intl knows it. */

/** A text for each plural form that a language distinguishes; `other` is always there. */
export type Forms = Partial<Record<Intl.LDMLPluralRule, string>> & { other: string };

/** What a language's sentences are written with. */
export interface Writer {
  /** A number with the language's digits and separators, with at most so many decimals. */
  number: (value: number, decimals?: number) => string;
  /** A share from 0 to 1 in percent. */
  percent: (share: number) => string;
  /** Bytes in the decimal units that shops and operating systems write: 27.3 MB, 3.22 GB. */
  bytes: (count: number) => string;
  /** Milliseconds in words: 12 seconds, 5 minutes. */
  time: (milliseconds: number) => string;
  /** Milliseconds in few letters, for the title of the tab: 12s. */
  shortTime: (milliseconds: number) => string;
  /** Seconds with one decimal: 3.4 seconds. */
  seconds: (milliseconds: number) => string;
  /** The text of the plural form that a number takes; `#` in it becomes the number. */
  plural: (count: number, forms: Forms) => string;
  /** Words joined by the language's commas. */
  list: (words: string[]) => string;
  /**
   * A name, an address or a prompt, so marked that it does not change the order of the words around
   * it: browsers order a line by the direction of its letters.
   */
  isolate: (words: string) => string;
}

const BYTE_UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"] as const;

/** The blocks of Unicode whose letters are written from right to left. */
const RIGHT_TO_LEFT =
  // eslint-disable-next-line security/detect-unsafe-regex -- one set, without repetition
  /[\u0590-\u08FF\uFB1D-\uFDFF\uFE70-\uFEFC\u{10800}-\u{10FFF}\u{1E800}-\u{1EFFF}]/u;
/** Characters that change the order of what follows them, in names that others chose. */
const CONTROLS = /[\u202A-\u202E\u2066-\u2069]/g;
/** Unicode's FIRST STRONG ISOLATE and POP DIRECTIONAL ISOLATE. */
const [ISOLATE, POP] = ["\u2068", "\u2069"];

/**
 * Make the writer of a language.
 *
 * @param locale a BCP 47 tag, for example `de` or `ar-EG`.
 * @param direction the direction that the language is written in.
 */
export function createWriter(locale: string, direction: "ltr" | "rtl" = "ltr"): Writer {
  const rules = new Intl.PluralRules(locale);
  const lists = new Intl.ListFormat(locale, { type: "unit", style: "short" });
  // Making a format takes a browser much longer than using it, and progress is written often.
  const formats = new Map<string, Intl.NumberFormat>();
  const format = (value: number, options: Intl.NumberFormatOptions): string => {
    const key = JSON.stringify(options);
    const made = formats.get(key) ?? new Intl.NumberFormat(locale, options);
    formats.set(key, made);
    return made.format(value);
  };
  const number = (value: number, decimals = 2): string =>
    format(value, { maximumFractionDigits: decimals });
  const unit = (
    value: number,
    name: string,
    { digits = 0, display = "long" }: { digits?: number; display?: "long" | "short" | "narrow" },
  ): string =>
    format(value, {
      style: "unit",
      unit: name,
      unitDisplay: display,
      minimumFractionDigits: digits,
      maximumFractionDigits: digits,
    });
  const duration = (milliseconds: number, display: "long" | "narrow"): string => {
    const seconds = Math.max(1, Math.ceil(milliseconds / 1000));
    if (seconds < 90) return unit(seconds, "second", { display });
    const minutes = Math.ceil(seconds / 60);
    return minutes < 90
      ? unit(minutes, "minute", { display })
      : unit(minutes / 60, "hour", { digits: 1, display });
  };
  return {
    number,
    percent: (share) => format(share, { style: "percent" }),
    bytes: (count) => {
      const power = count < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(count) / 3));
      const value = count / 1000 ** power;
      const digits = power === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
      return unit(value, BYTE_UNITS[power]!, { digits, display: "short" });
    },
    time: (milliseconds) => duration(milliseconds, "long"),
    shortTime: (milliseconds) => duration(milliseconds, "narrow"),
    seconds: (milliseconds) => unit(milliseconds / 1000, "second", { digits: 1 }),
    plural: (count, forms) =>
      (forms[rules.select(count)] ?? forms.other).replaceAll("#", number(count)),
    list: (words) => lists.format(words),
    isolate: (words) => {
      const bare = words.replaceAll(CONTROLS, "");
      // In a language from left to right, only the other direction needs the marks.
      const alike = direction === "ltr" && !RIGHT_TO_LEFT.test(bare);
      return alike || bare === "" ? bare : `${ISOLATE}${bare}${POP}`;
    },
  };
}
