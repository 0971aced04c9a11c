// Loads the page in Chromium, with a clock that is off by so many milliseconds, and leaves it open until it is stopped.
//   load.js PAGE_URL CLOCK_OFF_MS
const fs = require("fs");
const puppeteer = require("puppeteer-core");

(async () => {
  const [url, off] = process.argv.slice(2);
  const { default: chromium } = await import("@sparticuz/chromium");
  const browser = await puppeteer.launch({
    args: [...chromium.args, "--no-sandbox"],
    executablePath: process.env.CHROMIUM || (await chromium.executablePath()),
    headless: "shell",
  });
  const page = await browser.newPage();
  // A phone whose clock is wrong: every clock that a page can read.
  await page.evaluateOnNewDocument((off) => {
    const now = Date.now.bind(Date);
    Date.now = () => now() + off;
    const origin = performance.timeOrigin;
    Object.defineProperty(performance, "timeOrigin", { get: () => origin + off });
  }, Number(off));
  page.on("console", (message) => console.error("page:", message.text()));
  page.on("pageerror", (error) => console.error("page:", error.message));
  await page.goto(url);
  console.log("ready");
  process.on("SIGTERM", () => browser.close().finally(() => process.exit(0)));
})().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
