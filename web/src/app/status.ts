/** Shows the progress bar, the status sentence, errors and notices. */

import type { ProgressEvent } from "../index";
import { AbortError } from "../index";
import { advise } from "./advice";
import { element } from "./dom";
import type { Sentence } from "./strings";
import { inWords, onLanguage, text, write } from "./strings";

/** Something that a visitor should know, and that ends nothing. */
export interface Notice {
  /** What the page says, in its language. */
  own?: () => string;
  /** What the pipeline says, in English. */
  english?: string;
}

/** What happened, and what to do, in the words of the page. */
export interface Told {
  title: Sentence;
  steps: Sentence;
}

const bar = element<HTMLProgressElement>("progress");
const sentence = element("sentence");
const detail = element("detail");
const left = element("left");
const announced = element("status");
const panel = element("error");

/** Screen readers are told of progress at most so often, and of each new stage at once. */
const ANNOUNCE_EVERY_MS = 10_000;
/** A sentence that is announced beside the progress can be read for so long. */
const REMARK_MS = 8000;

const pageTitle = { name: document.title, prefix: "" };
let lastAnnounced = { topic: "", time: 0 };
/** What is shown now: a sentence, or how far a call is. */
let shown: Sentence | ProgressEvent = sentence.textContent;
/** When the sentence of {@link announce} has been there for long enough. */
let remarkEnds = 0;
let shownError:
  { thrown: unknown; tryAgain: (() => void) | undefined; told: Told | undefined } | undefined;
const notices: { item: HTMLElement; notice: Notice }[] = [];

/** Show how far a call is, and how long it still takes. */
export function showProgress(event: ProgressEvent): void {
  const said = writeProgress(event);
  const topic = "image" in event ? `${event.stage} ${event.image}` : topicOf(event.stage);
  announceNow(topic, said);
}

/** Write how far a call is, and return it as a sentence. */
function writeProgress(event: ProgressEvent): string {
  const { overall, remainingMs } = event;
  shown = event;
  bar.value = overall;
  bar.hidden = false;
  const said = describe(event);
  const time = remainingMs === null ? "" : text().left(remainingMs);
  sentence.textContent = said;
  left.textContent = time === "" ? write().percent(overall) : time;
  if (performance.now() >= remarkEnds) detail.textContent = describeAmount(event);
  const short = remainingMs === null ? "" : ` · ${write().shortTime(remainingMs)}`;
  setTitlePrefix(`${write().percent(overall)}${short}`);
  return time === "" ? said : `${said}, ${time}`;
}

/** Tell screen readers and eyes a sentence without ending the progress that is shown. */
export function announce(said: Sentence): void {
  const words = inWords(said);
  announced.textContent = words;
  if (bar.hidden) {
    shown = said;
    sentence.textContent = words;
  } else {
    detail.textContent = words;
    remarkEnds = performance.now() + REMARK_MS;
  }
}

/** Tell screen readers a sentence that eyes find elsewhere. */
export function announceUnseen(said: string): void {
  announced.textContent = said;
}

onLanguage(() => {
  remarkEnds = 0;
  if (typeof shown === "object") writeProgress(shown);
  else if (typeof shown === "function") sentence.textContent = announced.textContent = shown();
  if (shownError !== undefined) writeError();
  for (const { item, notice } of notices) writeNotice(item, notice);
});

function topicOf(stage: ProgressEvent["stage"]): string {
  return isLoading(stage) ? "loading" : stage;
}

function isLoading(stage: ProgressEvent["stage"]): boolean {
  return stage === "library" || stage === "pipelines" || stage === "parameters";
}

function announceNow(topic: string, said: string): void {
  const now = performance.now();
  const { topic: former, time } = lastAnnounced;
  if (topic === former && now - time < ANNOUNCE_EVERY_MS) return;
  lastAnnounced = { topic, time: now };
  announced.textContent = said;
}

function describe(event: ProgressEvent): string {
  const { stage, loaded, total } = event;
  if (stage === "encode") return text().readingPicture;
  if (stage === "text") return text().readingPrompt;
  if (stage === "self-test") return text().testing(loaded, total);
  if (stage !== "denoise" && stage !== "decode" && stage !== "safety") return text().gettingReady;
  const steps = stage === "denoise" ? text().step(loaded, total) : undefined;
  const done = steps ?? (stage === "decode" ? text().decoding : text().checking);
  const { image, images } = event;
  const work = event.pass === 2 ? text().secondPass(done) : done;
  return images > 1 ? `${text().pictureOf(image + 1, images)}: ${work}` : work;
}

function describeAmount({ stage, loaded, total }: ProgressEvent): string {
  if (stage === "library") return text().libraryDetail(loaded, total);
  if (stage === "parameters") return text().weightsDetail(loaded, total);
  if (stage === "pipelines") return text().pipelinesDetail(loaded, total);
  return "";
}

/** Show a sentence in place of progress, and tell screen readers at once. */
export function say(said: Sentence): void {
  lastAnnounced = { topic: "", time: 0 };
  remarkEnds = 0;
  shown = said;
  announced.textContent = sentence.textContent = inWords(said);
  detail.textContent = left.textContent = "";
  bar.hidden = true;
  bar.value = 0;
  setTitlePrefix("");
}

/** Name the page in the title of its tab. */
export function setTitle(name: string): void {
  pageTitle.name = name;
  setTitlePrefix(pageTitle.prefix);
}

/** Write something before the page's name in the title of its tab. */
export function setTitlePrefix(prefix: string): void {
  pageTitle.prefix = prefix;
  document.title = prefix === "" ? pageTitle.name : `${prefix} · ${pageTitle.name}`;
}

/**
 * Show an error and what to do about it; cancelled work is not shown as an error.
 *
 * @param tryAgain called by a button of the error, where nothing else on the page tries again.
 * @param told what happened and what to do, where the page knows more than the error does.
 */
export function showError(thrown: unknown, tryAgain?: () => void, told?: Told): void {
  if (thrown instanceof AbortError) {
    say(() => text().stopped);
    return;
  }
  say("");
  shownError = { thrown, tryAgain, told };
  writeError();
  panel.hidden = false;
  panel.scrollIntoView({ block: "nearest" });
}

/** Write the error that is shown, in the language of the page. */
function writeError(): void {
  const { thrown, tryAgain, told } = shownError!;
  const here = {
    userAgent: navigator.userAgent,
    secure: isSecureContext,
    online: navigator.onLine,
    address: location.href,
  };
  const advice = advise(thrown, here, text());
  const { link, details, complete } = advice;
  const title = told === undefined ? advice.title : inWords(told.title);
  const steps = told === undefined ? advice.steps : [inWords(told.steps)];
  const parts: HTMLElement[] = [made("h2", title)];
  for (const step of steps) parts.push(made("p", step));
  if (link !== undefined) {
    const anchor = made("a", text().errorInsecureLink(link)) as HTMLAnchorElement;
    anchor.href = link;
    parts.push(made("p", anchor));
  }
  const said = details.map((line) => inEnglish(made("p", line)));
  parts.push(
    ...(complete ? [made("details", made("summary", text().errorDetails), ...said)] : said),
  );
  if (tryAgain !== undefined) {
    const button = made("button", text().tryAgain) as HTMLButtonElement;
    button.type = "button";
    button.onclick = tryAgain;
    parts.push(button);
  }
  panel.replaceChildren(...parts);
}

/** Mark an element's words as English: the pipeline speaks it in every language of the page. */
function inEnglish(element: HTMLElement): HTMLElement {
  [element.lang, element.dir] = ["en", "ltr"];
  return element;
}

function made(name: string, ...content: (string | Node)[]): HTMLElement {
  const element = document.createElement(name);
  element.append(...content);
  return element;
}

/** Hide the error that is shown, if there is one. */
export function hideError(): void {
  shownError = undefined;
  panel.hidden = true;
  panel.replaceChildren();
}

/** Add a notice, unless it is the last one already. */
export function showNotice(notice: Notice): void {
  const list = element("notices");
  const item = writeNotice(made("li"), notice);
  if (list.lastElementChild?.textContent === item.textContent) return;
  list.append(item);
  notices.push({ item, notice });
  list.hidden = false;
}

/** Remove all notices: what they are about is no longer there. */
export function clearNotices(): void {
  notices.length = 0;
  element("notices").replaceChildren();
  element("notices").hidden = true;
}

function writeNotice(item: HTMLElement, { own, english }: Notice): HTMLElement {
  const parts: (string | Node)[] = [];
  if (own !== undefined) parts.push(own());
  if (english !== undefined) parts.push(inEnglish(made("span", english)));
  item.replaceChildren(...parts.flatMap((part, index) => (index === 0 ? [part] : [": ", part])));
  return item;
}
