/** Shows the progress bar, the status sentence, errors and notices. */

import type { ProgressEvent } from "../index";
import { AbortError } from "../index";
import { advise } from "./advice";
import { element } from "./dom";
import { text, write } from "./strings";

const bar = element<HTMLProgressElement>("progress");
const sentence = element("sentence");
const detail = element("detail");
const left = element("left");
const announced = element("status");
const panel = element("error");

/** Screen readers are told of progress at most so often, and of each new stage at once. */
const ANNOUNCE_EVERY_MS = 10_000;

const pageTitle = { name: document.title, prefix: "" };
let lastAnnounced = { topic: "", time: 0 };

/** Show how far a call is, and how long it still takes. */
export function showProgress(event: ProgressEvent): void {
  const { overall, remainingMs } = event;
  bar.value = overall;
  bar.hidden = false;
  const said = describe(event);
  const time = remainingMs === null ? "" : text().left(remainingMs);
  sentence.textContent = said;
  left.textContent = time;
  detail.textContent = describeAmount(event);
  const short = remainingMs === null ? "" : ` · ${write().shortTime(remainingMs)}`;
  setTitlePrefix(`${write().percent(overall)}${short}`);
  const topic = "image" in event ? `${event.stage} ${event.image}` : topicOf(event.stage);
  announceNow(topic, time === "" ? said : `${said}, ${time}`);
}

/** Tell screen readers and eyes a sentence without ending the progress that is shown. */
export function announce(said: string): void {
  announced.textContent = said;
  if (bar.hidden) sentence.textContent = said;
}

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
  if (stage === "text") return text().readingPrompt;
  if (stage === "self-test") return text().testing(loaded, total);
  if (stage !== "denoise" && stage !== "decode") return text().gettingReady;
  const work = stage === "denoise" ? text().step(loaded, total) : text().decoding;
  const { image, images } = event;
  return images > 1 ? `${text().pictureOf(image + 1, images)}: ${work}` : work;
}

function describeAmount({ stage, loaded, total }: ProgressEvent): string {
  if (stage === "library") return text().libraryDetail(loaded, total);
  if (stage === "parameters") return text().weightsDetail(loaded, total);
  if (stage === "pipelines") return text().pipelinesDetail(loaded, total);
  return "";
}

/** Show a sentence in place of progress, and tell screen readers at once. */
export function say(said: string): void {
  lastAnnounced = { topic: "", time: 0 };
  announced.textContent = said;
  sentence.textContent = said;
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

/** Show an error and what to do about it; cancelled work is not shown as an error. */
export function showError(thrown: unknown): void {
  if (thrown instanceof AbortError) {
    say(text().stopped);
    return;
  }
  const here = {
    userAgent: navigator.userAgent,
    secure: isSecureContext,
    online: navigator.onLine,
    address: location.href,
  };
  const { title, steps, link, details, complete } = advise(thrown, here, text());
  const parts: HTMLElement[] = [made("h2", title)];
  for (const step of steps) parts.push(made("p", step));
  if (link !== undefined) {
    const anchor = made("a", text().errorInsecureLink(link)) as HTMLAnchorElement;
    anchor.href = link;
    parts.push(made("p", anchor));
  }
  const said = details.map((line) => {
    const paragraph = made("p", line);
    // The pipeline speaks English in every language of the page.
    [paragraph.lang, paragraph.dir] = ["en", "ltr"];
    return paragraph;
  });
  parts.push(
    ...(complete ? [made("details", made("summary", text().errorDetails), ...said)] : said),
  );
  say("");
  panel.replaceChildren(...parts);
  panel.hidden = false;
  panel.scrollIntoView({ block: "nearest" });
}

function made(name: string, ...content: (string | Node)[]): HTMLElement {
  const element = document.createElement(name);
  element.append(...content);
  return element;
}

/** Hide the error that is shown, if there is one. */
export function hideError(): void {
  panel.hidden = true;
  panel.replaceChildren();
}

/** Add a sentence to the notices, unless it is the last one already. */
export function showNotice(notice: string): void {
  const list = element("notices");
  if (list.lastElementChild?.textContent === notice) return;
  list.append(made("li", notice));
  list.hidden = false;
}
