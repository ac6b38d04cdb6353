// Opens a page in Firefox without WebGPU, and prints what it shows as JSON.
//
// node visit.mjs FIREFOX ADDRESS SELECTOR...
//
// Waits until the first selector's element is visible and has a text; `texts` has that of each
// selector's element, or null where there is none, and `complaints` the errors of the page's console.
// It is WebDriver BiDi, which needs no geckodriver.

import puppeteer from "puppeteer-core";

const [executablePath, address, ...selectors] = process.argv.slice(2);
const browser = await puppeteer.launch({
  browser: "firefox",
  executablePath,
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
}
