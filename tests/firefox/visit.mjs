// Opens a page in Firefox without WebGPU, and prints what it shows as JSON.
//
// node visit.mjs FIREFOX ADDRESS SELECTOR...
//
// Waits until the first selector's element is visible and has a text; `texts` has that of each
// selector's element, or null where there is none, and `complaints` the errors of the page's console.
// It is WebDriver BiDi, which needs no geckodriver.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import puppeteer from "puppeteer-core";

const [executablePath, address, ...selectors] = process.argv.slice(2);
// Firefox refuses to run as root in the home folder of somebody else.
const home = await mkdtemp(path.join(tmpdir(), "firefox-"));
const browser = await puppeteer.launch({
  browser: "firefox",
  executablePath,
  env: { ...process.env, HOME: home },
  // A busy machine takes longer than the default of 30 seconds.
  timeout: 180_000,
  protocolTimeout: 300_000,
  // The default of Debian's Firefox ESR; on other systems Firefox has WebGPU.
  extraPrefsFirefox: { "dom.webgpu.enabled": false },
});
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(120_000);
  const complaints = [];
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(address);
  await page.waitForFunction(
    (selector) => {
      const element = document.querySelector(selector);
      return element?.checkVisibility() && element.innerText.trim() !== "";
    },
    {},
    selectors[0],
  );
  const texts = await page.evaluate(
    (names) => names.map((name) => document.querySelector(name)?.innerText ?? null),
    selectors,
  );
  console.log(JSON.stringify({ texts, complaints }));
} finally {
  await browser.close();
  await rm(home, { recursive: true, force: true });
}
