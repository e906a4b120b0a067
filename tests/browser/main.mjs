// node main.mjs BINARY SHOTS: every step is a test; screenshots of each page go to the folder SHOTS.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { nginx } from "./nginx.mjs";
import { TOKEN, launch, receiver, service, until } from "./world.mjs";

const [binary, shots] = process.argv.slice(2);
mkdirSync(shots, { recursive: true });
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const HOSTILE = `"><img src=x onerror="document.title='owned'"><script>document.title='owned'</script>'`;

let browser, target, server, page, context;
const troubles = [];
// The hash of an empty style: what the checks of accessibility leave behind on elements they looked at.
const EMPTY_STYLE = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

async function open(options = {}) {
  const made = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
  made.on("page", (tab) => {
    tab.on("pageerror", (error) => troubles.push(`${tab.url()}: ${error.message}`));
    tab.on("console", (line) => {
      const ours = line.text().includes(EMPTY_STYLE);
      if (line.type() === "error" && !ours && !/Failed to load resource|Response Status Error Code 400/.test(line.text())) troubles.push(`${tab.url()}: ${line.text()}`);
    });
  });
  return made;
}

/** No violation of WCAG 2.2 AA, no title of an attacker, nothing wider than the window. */
async function sound(tab, name) {
  // Beside the page's own policy: a world of the test's own.
  const session = await tab.context().newCDPSession(tab);
  const { frameTree } = await session.send("Page.getFrameTree");
  const { executionContextId } = await session.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id });
  const run = async (expression, awaitPromise = false) => {
    const done = await session.send("Runtime.evaluate", { contextId: executionContextId, expression, awaitPromise, returnByValue: true });
    if (done.exceptionDetails) throw new Error(JSON.stringify(done.exceptionDetails));
    return done.result.value;
  };
  await run(axe);
  const found = JSON.parse(await run(
    `axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] })
      .then((r) => JSON.stringify(r.violations.map((v) => [v.id, v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + " :: " + n.failureSummary.slice(0, 200))])))`, true));
  assert.deepEqual(found, [], name);
  assert.notEqual(await tab.title(), "owned", `${name} ran what it showed`);
  // The policy would keep a script from running anyway: what others wrote is no element in the first place.
  assert.equal(await tab.locator('img[src="x"], main b, main script').count(), 0, `${name} took what it showed for HTML`);
  const width = await tab.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(width[0] <= width[1] + 1, `${name} is ${width[0]} wide in ${width[1]}`);
  await session.detach();
  await tab.screenshot({ path: `${shots}/${name}.png` });
}

async function login(tab) {
  await tab.goto(`${server.status}/login/`);
  await tab.getByLabel("API token").fill(TOKEN);
  await tab.getByRole("button", { name: "Log in with the token" }).click();
  await tab.waitForURL((url) => url.pathname.endsWith("/webhook-backend-status/"));
}

const hook = (name, path, more = {}) => ({
  name, models: ["dcim.site"], type_create: true, type_update: true, payload_url: target.url(path), ...more,
});
const event = (id, name = "ams", more = {}) => ({ event: "created", model: "dcim.site", data: { id, name }, username: "ann", request_id: `r-${id}`, ...more });
const send = (...events) => server.post("/api/events/", events);
const delivered = (filter, n) => until(`${n} deliveries with ${filter}`, async () => (await server.get(`/api/deliveries/?${filter}&limit=1000`)).results.length >= n);

before(async () => {
  browser = await launch();
  target = await receiver();
  server = await service(binary, { NETBOX_WEBHOOKD__DELIVERY__BACKOFF_INITIAL: "50ms", NETBOX_WEBHOOKD__DELIVERY__MAX_ATTEMPTS: "2",
    NETBOX_WEBHOOKD__DELIVERY__BREAKER_THRESHOLD: "1000000", NETBOX_WEBHOOKD__SERVER__TRUSTED_PROXIES: "127.0.0.1/32",
    NETBOX_WEBHOOKD__AUTH__REMOTE_USER_HEADER: "X-Remote-User" });
  context = await open();
  page = await context.newPage();
});
after(async () => {
  await browser?.close();
  await server?.stop();
  target?.stop();
});

test("a stranger is led to the login page and back", async () => {
  await page.goto(`${server.base}/`);
  await page.waitForURL(/\/login\/\?next=/);
  await sound(page, "login");
});

test("the one-time link makes the first admin, once", async () => {
  const line = server.log.map((text) => JSON.parse(text)).find((entry) => JSON.stringify(entry).includes("/setup/"));
  const link = JSON.stringify(line).match(/http:\/\/[^"]*\/setup\/[0-9a-f]+\//)[0];
  const other = await open();
  const tab = await other.newPage();
  await tab.goto(link);
  await sound(tab, "setup");
  await tab.getByLabel("Name").fill("ann");
  await tab.getByLabel("Password", { exact: true }).fill("short-but-10");
  await tab.getByLabel("Password again").fill("different-10");
  await tab.getByRole("button", { name: "Create the account" }).click();
  await tab.getByText("The two passwords differ").waitFor();
  await tab.getByLabel("Password", { exact: true }).fill("correct horse");
  await tab.getByLabel("Password again").fill("correct horse");
  await tab.getByRole("button", { name: "Create the account" }).click();
  await tab.getByText("ann (admin)").waitFor();
  await tab.goto(link);
  await tab.getByText("This link was used or is over").waitFor();
  await tab.goto(`${server.status}/`);
  await tab.getByRole("button", { name: "Log out" }).click();
  await tab.getByText("You are logged out").waitFor();
  await tab.getByLabel("Name").fill("ann");
  await tab.getByLabel("Password").fill("wrong horse");
  await tab.getByRole("button", { name: "Log in", exact: true }).click();
  await tab.getByText("Name and password do not fit").waitFor();
  await tab.getByLabel("Password").fill("correct horse");
  await tab.getByRole("button", { name: "Log in", exact: true }).click();
  await tab.getByText("ann (admin)").waitFor();
  const [cookie] = (await other.cookies()).filter((c) => c.name === "netbox_webhookd_session");
  assert.deepEqual([cookie.httpOnly, cookie.sameSite], [true, "Strict"]);
  await other.close();
});

test("a token logs in, and an empty service says how the first event arrives", async () => {
  await login(page);
  await page.getByText("No event has come yet").waitFor();
  await page.getByText(`curl ${server.base}/api/events/`).waitFor();
  await sound(page, "overview-empty");
  for (const path of ["deliveries", "failed", "endpoints", "events", "bulk-actions"]) {
    await page.goto(`${server.status}/${path}/`);
    await sound(page, `${path}-empty`);
  }
});

test("a webhook is created in the form, and what is wrong is said at its field", async () => {
  await page.goto(`${server.hooks}/add/`);
  await page.getByLabel("Name").fill("good");
  await page.getByLabel("Models").fill("dcim.nonsense");
  await page.getByLabel("Payload URL").fill(target.url("/good"));
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByText("It was not saved").waitFor();
  await sound(page, "webhook-form-problem");
  await page.getByLabel("Models").fill("dcim.site");
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByText("Created.").waitFor();
  await sound(page, "webhook");
  await page.goto(`${server.hooks}/`);
  await page.getByRole("link", { name: "good" }).first().waitFor();
  await sound(page, "webhooks");
});

test("new deliveries wait behind a bar, and appear when it is clicked", async () => {
  await page.goto(`${server.status}/deliveries/`);
  await page.getByText("No deliveries yet").waitFor();
  await send(event(1));
  await delivered("status=delivered", 1);
  await page.reload();
  await page.locator("tr[data-id]").first().waitFor();
  const rows = await page.locator("tr[data-id]").count();
  await until("the bar tells of new deliveries", async () => {
    await send(event(2 + Math.floor(Math.random() * 1e6)));
    return page.locator("[data-newbar]").isVisible();
  });
  assert.equal(await page.locator("tr[data-id]").count(), rows, "the list did not move");
  await sound(page, "deliveries-new");
  await page.locator("[data-newbar]").click();
  await until("the rows are there", async () => (await page.locator("tr[data-id]").count()) > rows);
});

test("new events are told of as well, also those that no webhook matched", async () => {
  await page.goto(`${server.status}/events/`);
  await page.locator("tr[data-id]").first().waitFor();
  await until("the bar tells of them", async () => {
    await send({ event: "created", model: "dcim.region", data: { id: Math.floor(Math.random() * 1e6), name: "r" } });
    return page.locator("[data-newbar]").isVisible();
  });
  await page.locator("[data-newbar]").click();
  await page.getByText("dcim.region").first().waitFor();
});

test("hostile text is text on every page", async () => {
  await server.post("/api/webhooks/", hook(HOSTILE.slice(0, 140), "/hostile", { description: HOSTILE, additional_headers: "X-A: <b>bold</b>" }));
  target.answer("/hostile", 500);
  await send(event(66, HOSTILE, { username: HOSTILE, request_id: HOSTILE, snapshots: { prechange: { [HOSTILE]: "a" }, postchange: { [HOSTILE]: HOSTILE } }, event: "updated" }));
  await delivered("status=failed", 1);
  await page.goto(`${server.status}/deliveries/?status=failed`);
  await sound(page, "deliveries-hostile");
  await page.locator("tr[data-id] a").first().click();
  await page.getByText("Request as sent").waitFor();
  await page.getByText("What changed").waitFor();
  await sound(page, "delivery-failed");
  await page.screenshot({ path: `${shots}/delivery-failed-whole.png`, fullPage: true });
  for (const [name, path] of [["events", "events/"], ["failed", "failed/"], ["audit", "audit/"], ["endpoints", "endpoints/"], ["overview-failing", ""],
    ["filter", `deliveries/?q=${encodeURIComponent(HOSTILE)}&model=${encodeURIComponent(HOSTILE)}`], ["service", "service/"], ["access", "access/"], ["try", "events/try/"]]) {
    await page.goto(`${server.status}/${path}`);
    await sound(page, name);
  }
  await page.goto(`${server.hooks}/`);
  await sound(page, "webhooks-hostile");
  await page.goto(`${server.hooks}/2/`);
  await sound(page, "webhook-hostile");
  await page.goto(`${server.status}/missing/`);
  await page.getByText("There is no page here").waitFor();
  await sound(page, "not-found");
});

test("a failed delivery is found, read and retried", async () => {
  await page.goto(`${server.status}/failed/`);
  await page.getByText("answered 500").first().waitFor();
  await page.getByRole("link", { name: "1", exact: true }).click();
  await page.locator("tr[data-id] a").first().click();
  await page.getByText("Attempt 2 answered 500").waitFor();
  target.answer("/hostile", 200);
  await page.getByRole("button", { name: "Retry now" }).click();
  await page.getByText("The delivery is due again.").waitFor();
  await page.locator(".head .badge", { hasText: "delivered" }).waitFor();
  await sound(page, "delivery-delivered");
});

test("a retry of something older than what was delivered says so first", async () => {
  target.answer("/good", 500);
  await send(event(77, "older"));
  await delivered("status=failed&object_id=77&webhook_id=1", 1);
  target.answer("/good", 200);
  await send(event(77, "newer", { event: "updated" }));
  await delivered("status=delivered&object_id=77&webhook_id=1", 1);
  const { results: [old] } = await server.get("/api/deliveries/?status=failed&object_id=77&webhook_id=1");
  await page.goto(`${server.status}/deliveries/${old.id}/`);
  await page.getByRole("button", { name: "Retry now" }).click();
  await page.getByText("A newer event of the same object was already delivered").waitFor();
  await sound(page, "confirm");
  await page.getByRole("link", { name: "Back", exact: true }).click();
  assert.equal((await server.get(`/api/deliveries/${old.id}/`)).status, "failed");
});

test("a group of failed ones is retried, with progress", async () => {
  target.answer("/good", 502);
  await server.patch("/api/endpoints/1/", { concurrency: 8 });
  await send(...Array.from({ length: 40 }, (_, n) => event(1000 + n)));
  await delivered("status=failed&webhook_id=1", 40);
  target.answer("/good", 200);
  await page.goto(`${server.status}/failed/`);
  await sound(page, "failed-groups");
  await page.getByRole("row", { name: /answered 502/ }).getByRole("button", { name: /Retry group/ }).click();
  await page.getByText("in the original order").waitFor();
  await page.getByRole("button", { name: "Retry them" }).click();
  await page.getByText("finished").waitFor();
  await page.getByText("40 done").waitFor();
  await sound(page, "bulk-action");
  await delivered("status=delivered&webhook_id=1&created__gte=2000-01-01", 40);
});

test("an endpoint is paused, and resumed", async () => {
  await page.goto(`${server.status}/endpoints/1/`);
  await page.getByRole("button", { name: /^Pause/ }).click();
  await page.getByText("The endpoint is paused; its deliveries wait.").waitFor();
  await send(event(500));
  await page.getByText("because the endpoint is paused").first().waitFor();
  await sound(page, "endpoint-paused");
  const before = target.seen.filter((r) => r.path === "/good" && /"id": ?500\b/.test(r.body)).length;
  assert.equal(before, 0);
  await page.getByRole("button", { name: /^Resume/ }).first().click();
  await page.getByText("The endpoint is resumed.").waitFor();
  await delivered("status=delivered&object_id=500&webhook_id=1", 1);
});

test("a changed rate limit acts at once", async () => {
  await page.goto(`${server.status}/endpoints/1/`);
  await page.getByLabel("rate_limit").fill("nonsense");
  await page.getByRole("button", { name: "Apply" }).click();
  await page.getByText("rate_limit:").waitFor();
  await sound(page, "refused");
  await page.goto(`${server.status}/endpoints/1/`);
  await page.getByLabel("rate_limit").fill("2/s");
  await page.getByRole("button", { name: "Apply" }).click();
  await page.getByText("The change is in force.").waitFor();
  const start = target.seen.length;
  await send(...Array.from({ length: 5 }, (_, n) => event(2000 + n)));
  await until("five came", () => target.seen.slice(start).filter((r) => r.path === "/good").length >= 5);
  const times = target.seen.slice(start).filter((r) => r.path === "/good").map((r) => r.at);
  assert.ok(times.at(-1) - times[0] >= 1_500, `five at 2/s took ${times.at(-1) - times[0]} ms`);
  await page.reload();
  await sound(page, "endpoint");
  await page.getByRole("button", { name: "Reset rate_limit" }).click();
  await page.getByText("The change is in force.").waitFor();
});

test("limits are changed in the list, without leaving it", async () => {
  await page.goto(`${server.status}/endpoints/`);
  const row = page.locator(`tr[data-href$="/endpoints/1/"]`);
  await row.getByRole("button", { name: /^Limits/ }).click();
  const sheet = page.getByRole("dialog");
  await sheet.getByLabel("concurrency").fill("many");
  await sheet.getByRole("button", { name: "Apply" }).click();
  await sheet.getByText("concurrency:").waitFor();
  await sound(page, "endpoints-limits");
  await page.evaluate(() => { window.same = true; });
  await sheet.getByLabel("concurrency").fill("3");
  await sheet.getByRole("button", { name: "Apply" }).click();
  await row.getByText("0/3").waitFor();
  await page.getByText("The change is in force.").waitFor();
  assert.equal(await page.evaluate(() => window.same), true, "it is still the same page");
  assert.equal((await server.get("/api/endpoints/1/")).policy.concurrency, 3);
  await row.getByRole("button", { name: /^Pause/ }).click();
  await row.getByRole("button", { name: /^Resume/ }).waitFor();
  await page.getByLabel("State").selectOption("paused");
  await page.getByRole("button", { name: "Search" }).click();
  await page.waitForURL(/state=paused/);
  assert.equal(await page.locator("tbody tr").count(), 1);
  await row.getByRole("button", { name: /^Resume/ }).click();
  await page.getByText("No endpoint matches").waitFor();
});

test("an endpoint's page says what is held up, and draws its last hour", async () => {
  await server.post("/api/webhooks/", hook("slow", "/slow", { models: ["dcim.rack"] }));
  const { results: [{ id }] } = await server.get("/api/endpoints/?q=/slow");
  await server.patch(`/api/endpoints/${id}/`, { max_attempts: 9, backoff_initial: "10m" });
  const rack = (n) => ({ event: "updated", model: "dcim.rack", data: { id: n, name: `r${n}` } });
  await send(rack(1), rack(2));
  await delivered(`status=delivered&endpoint_id=${id}`, 2);
  target.answer("/slow", 429);
  await send(rack(7), rack(7), rack(7));
  await delivered(`status=retrying&endpoint_id=${id}`, 1);
  await page.goto(`${server.status}/endpoints/${id}/`);
  const held = page.locator("section", { hasText: "What is held up" });
  await held.getByRole("row", { name: /dcim.rack 7.*429.*2$/ }).waitFor();
  assert.equal(await page.locator(".plots canvas").count(), 3);
  const tried = page.locator("section", { hasText: "Recent attempts" });
  await tried.getByRole("row", { name: /429/ }).first().waitFor();
  await page.getByText("As a table").click();
  await page.getByRole("cell", { name: "429, Retry-After" }).or(page.getByRole("cell", { name: "429", exact: true })).first().waitFor();
  await sound(page, "endpoint-held");
  await page.screenshot({ path: `${shots}/endpoint-held-whole.png`, fullPage: true });
  // What comes meanwhile is drawn in the same charts.
  const before = await page.locator(".plots [data-chart]").first().getAttribute("data-chart");
  target.answer("/slow", 200);
  await send(...Array.from({ length: 5 }, (_, n) => rack(100 + n)));
  await server.post(`/api/endpoints/${id}/resume/`);
  await until("the charts go on", async () => (await page.locator(".plots [data-chart]").first().getAttribute("data-chart")) !== before);
  assert.equal(await page.locator(".plots canvas").count(), 3);
});

test("a page that no longer hears the service says so", async () => {
  const other = await open({ storageState: await context.storageState() });
  const tab = await other.newPage();
  await tab.goto(`${server.status}/`);
  await other.setOffline(true);
  await tab.getByLabel("Live").selectOption("5000");
  const bar = tab.locator(".stale");
  await bar.getByText("Live updates are interrupted").waitFor();
  await tab.screenshot({ path: `${shots}/stale.png` });
  await other.setOffline(false);
  await bar.waitFor({ state: "hidden" });
  await other.close();
});

test("what somebody does is not swept away by a refresh", async () => {
  const other = await open({ storageState: await context.storageState() });
  const tab = await other.newPage();
  await tab.goto(`${server.status}/endpoints/1/`);
  const refreshed = () => tab.evaluate(() => performance.getEntriesByType("resource").filter((r) => r.initiatorType === "fetch").length);
  const waits = async () => { const before = await refreshed(); await send(event(4000 + before)); await until("it was looked at again", async () => (await refreshed()) > before); };
  // Charts stay what they are, and none is left behind.
  await tab.evaluate(() => { window.drawn = document.querySelector("canvas"); });
  await waits();
  assert.equal(await tab.evaluate(() => window.drawn.isConnected && document.querySelectorAll("canvas").length), 3);
  // The focus is on the same button of the same endpoint.
  await tab.goto(`${server.status}/endpoints/`);
  const limits = tab.locator('tr[data-href$="/endpoints/2/"]').getByRole("button", { name: /^Limits/ });
  await limits.focus();
  await waits();
  await until("it has the focus still", () => limits.evaluate((button) => button === document.activeElement));
  // What was typed stays, though the focus has left it.
  await tab.goto(`${server.status}/endpoints/1/`);
  await tab.getByLabel("timeout").fill("17s");
  await tab.getByRole("button", { name: "Apply" }).focus();
  await send(event(4100));
  await delivered("status=delivered&object_id=4100&webhook_id=1", 1);
  assert.equal(await tab.getByLabel("timeout").inputValue(), "17s");
  await tab.keyboard.press("Enter");
  await tab.getByText("The change is in force.").waitFor();
  assert.equal((await server.get("/api/endpoints/1/")).policy.timeout, "17s");
  // Said once.
  assert.ok(!tab.url().includes("notice="), tab.url());
  await other.close();
});

test("a key does nothing to a row that is not marked, and can be switched off", async () => {
  await page.goto(`${server.status}/endpoints/`);
  await page.keyboard.press("p");
  assert.equal((await server.get("/api/endpoints/?state=paused")).count, 0);
  await page.keyboard.press("?");
  await page.getByLabel("Single keys act").uncheck();
  await page.getByRole("button", { name: "Close" }).click();
  await page.keyboard.press("g");
  await page.keyboard.press("d");
  await page.keyboard.press("/");
  assert.notEqual(await page.evaluate(() => document.activeElement.name), "q");
  await page.getByRole("button", { name: "? keyboard" }).click();
  await page.getByLabel("Single keys act").check();
  await page.getByRole("button", { name: "Close" }).click();
  await page.keyboard.press("j");
  await page.keyboard.press("p");
  await page.getByText("The endpoint is paused").waitFor();
  assert.equal((await server.get("/api/endpoints/1/")).state, "paused");
  await page.keyboard.press("p");
  await page.getByText("The endpoint is resumed").waitFor();
});

test("nothing moves for those who asked for that", async () => {
  for (const [reducedMotion, wanted] of [["reduce", "none"], ["no-preference", "flash"]]) {
    const other = await open({ storageState: await context.storageState(), reducedMotion });
    const tab = await other.newPage();
    await tab.goto(`${server.status}/deliveries/`);
    const name = await tab.evaluate(() => {
      const badge = document.querySelector("td .badge");
      badge.classList.add("flash");
      return getComputedStyle(badge).animationName;
    });
    assert.equal(name, wanted, reducedMotion);
    await other.close();
  }
});

test("the keyboard alone is enough", async () => {
  await page.goto(`${server.status}/`);
  await page.keyboard.press("g");
  await page.keyboard.press("d");
  await page.waitForURL(/\/deliveries\/$/);
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.name), "q");
  await page.keyboard.press("Escape");
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("x");
  await page.getByText("1 selected").waitFor();
  await page.keyboard.press("k");
  await page.keyboard.press("?");
  await page.getByRole("dialog").waitFor();
  await sound(page, "keyboard");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/deliveries\/[0-9a-f-]{36}\/$/);
});

test("phones, dark rooms and browsers without a script are served too", async () => {
  const state = await context.storageState();
  for (const [name, options] of [["phone", { viewport: { width: 320, height: 720 } }], ["phone-390", { viewport: { width: 390, height: 844 } }],
    ["zoom-200", { viewport: { width: 640, height: 430 }, deviceScaleFactor: 2 }], ["dark", { colorScheme: "dark" }], ["noscript", {}], ["disabled", { javaScriptEnabled: false }]]) {
    const other = await open({ storageState: state, ...options });
    // Without its script a page is checked like any other; with scripts switched off the checks cannot run either.
    if (name === "noscript") await other.route("**/*.js", (route) => route.abort());
    const tab = await other.newPage();
    const { results: [one] } = await server.get("/api/deliveries/?limit=1");
    for (const [label, url] of [["overview", `${server.status}/`], ["deliveries", `${server.status}/deliveries/`], ["delivery", `${server.status}/deliveries/${one.id}/`],
      ["endpoints", `${server.status}/endpoints/`], ["endpoint", `${server.status}/endpoints/1/`], ["webhook-form", `${server.hooks}/add/`], ["failed", `${server.status}/failed/`],
      ["events", `${server.status}/events/`], ["audit", `${server.status}/audit/`], ["access", `${server.status}/access/`]]) {
      await tab.goto(url);
      if (name === "disabled") {
        assert.equal((await tab.goto(url)).status(), 200, label);
        await tab.screenshot({ path: `${shots}/${name}-${label}.png` });
        if (label === "delivery") {
          const shown = () => tab.locator(".views pre").evaluateAll((all) => all.filter((pre) => pre.checkVisibility()).map((pre) => pre.className));
          assert.deepEqual(await shown(), ["pretty"]);
          await tab.getByRole("radio", { name: "As it is" }).check();
          assert.deepEqual(await shown(), ["raw"]);
        }
        if (label === "endpoint") {
          await tab.getByRole("button", { name: /^Pause/ }).click();
          await tab.getByText("The endpoint is paused").waitFor();
          await tab.getByRole("button", { name: /^Resume/ }).first().click();
          await tab.getByText("The endpoint is resumed").waitFor();
        }
      }
      else await sound(tab, `${name}-${label}`);
    }
    await other.close();
  }
});

test("the first page is small", async () => {
  const other = await open({ storageState: await context.storageState() });
  const tab = await other.newPage();
  await tab.goto(`${server.status}/`, { waitUntil: "load" });
  const bytes = await tab.evaluate(() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .filter((entry) => !entry.name.endsWith("/stream/")).reduce((sum, entry) => sum + entry.transferSize, 0));
  assert.ok(bytes > 10_000 && bytes < 100 * 1024, `${bytes} bytes`);
  await other.close();
});

test("what others send is refused: no secret, another site, another role", async () => {
  const cookies = (await context.cookies()).map((c) => `${c.name}=${c.value}`).join("; ");
  const csrf = await page.locator('input[name="csrf"]').first().inputValue();
  const post = async (body, headers = {}) => (await fetch(`${server.status}/endpoints/1/pause/`, {
    method: "POST", redirect: "manual", headers: { Cookie: cookies, "Content-Type": "application/x-www-form-urlencoded", ...headers }, body,
  })).status;
  assert.equal(await post(""), 403);
  assert.equal(await post(`csrf=${csrf}`, { "Sec-Fetch-Site": "cross-site" }), 403);
  assert.equal(await post(`csrf=${csrf}`, { Origin: "https://evil.example" }), 403);
  assert.equal((await server.get("/api/endpoints/1/")).paused_by, null);
  const { token } = await server.post("/api/tokens/", { name: "looker", scopes: ["read"] });
  const other = await open();
  const tab = await other.newPage();
  await tab.goto(`${server.status}/login/`);
  await tab.getByLabel("API token").fill(token);
  await tab.getByRole("button", { name: "Log in with the token" }).click();
  await tab.getByText("looker (viewer)").waitFor();
  await tab.goto(`${server.status}/access/`);
  await tab.getByText("this needs an admin").waitFor();
  await sound(tab, "forbidden");
  await other.close();
});

test("two locations of nginx put it on NetBox's own host", async () => {
  const front = await nginx(server.base);
  const other = await open();
  const tab = await other.newPage();
  const strays = [];
  tab.on("request", (request) => {
    const { pathname } = new URL(request.url());
    if (!/^\/admin\/(webhook-backend-status|extras\/webhook)\//.test(pathname)) strays.push(request.url());
  });
  await tab.goto(`${front.base}/admin/webhook-backend-status/login/`);
  // The session's cookie would be for TLS only, which a browser takes from this machine itself all the same.
  await tab.getByLabel("API token").fill(TOKEN);
  await tab.getByRole("button", { name: "Log in with the token" }).click();
  await tab.getByText("bootstrap (admin)").waitFor();
  const [cookie] = (await other.cookies()).filter((c) => c.name === "netbox_webhookd_session");
  assert.equal(cookie.secure, true);
  await tab.getByRole("link", { name: "Webhooks" }).click();
  await tab.getByRole("link", { name: "good" }).first().click();
  await tab.getByRole("button", { name: "Send a test" }).click();
  await tab.getByText("Attempt 1 answered 200").waitFor();
  await tab.getByRole("link", { name: "Deliveries" }).first().click();
  await tab.locator("tr[data-id]").first().waitFor();
  await until("live updates come through nginx", async () => {
    await send(event(3000 + Math.floor(Math.random() * 1e6)));
    return tab.locator("[data-newbar]").isVisible();
  });
  assert.deepEqual(strays, [], "a page asked for something outside the two locations");
  await other.close();
  await front.stop();
});

test("whom nginx asked for a password needs none here", async () => {
  const front = await nginx(server.base, "ann:{PLAIN}one\nbob:{PLAIN}two\n");
  const deliveries = `${front.base}/admin/webhook-backend-status/deliveries/`;
  const other = await open({ httpCredentials: { username: "ann", password: "one" } });
  const tab = await other.newPage();
  await tab.goto(deliveries);
  await tab.getByText("ann (admin)").waitFor();
  assert.equal(tab.url(), deliveries);
  await tab.getByRole("button", { name: "Log out" }).click();
  await tab.getByText("You are logged out").waitFor();
  await sound(tab, "login-remote");
  await tab.getByRole("button", { name: "Go on as ann" }).click();
  await tab.getByText("ann (admin)").waitFor();
  // Another site's link brings no cookie along.
  await tab.goto(`${front.base.replace("127.0.0.1", "localhost")}/`);
  await tab.evaluate((to) => { document.body.innerHTML = `<a href="${to}">a link</a>`; }, deliveries);
  await tab.getByRole("link", { name: "a link" }).click();
  await tab.getByRole("button", { name: "Go on as ann" }).click();
  await tab.getByText("ann (admin)").waitFor();
  assert.equal(tab.url(), deliveries);
  await other.close();
  const stranger = await open({ httpCredentials: { username: "bob", password: "two" } });
  const theirs = await stranger.newPage();
  await theirs.goto(deliveries);
  await theirs.getByText("who has no account here").waitFor();
  await sound(theirs, "login-no-account");
  await stranger.close();
  await front.stop();
});

test("no page reported a fault", () => assert.deepEqual(troubles, []));
