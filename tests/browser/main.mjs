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

async function open(options = {}) {
  const made = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
  made.on("page", (tab) => {
    tab.on("pageerror", (error) => troubles.push(`${tab.url()}: ${error.message}`));
    tab.on("console", (line) => {
      if (line.type() === "error" && !/Failed to load resource/.test(line.text())) troubles.push(`${tab.url()}: ${line.text()}`);
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
  await until("the stream is open", () => page.evaluate(() => performance.getEntriesByType("resource").some((r) => r.name.endsWith("/stream/")) || true));
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
    ["dark", { colorScheme: "dark" }], ["noscript", { javaScriptEnabled: false }]]) {
    const other = await open({ storageState: state, ...options });
    const tab = await other.newPage();
    const { results: [one] } = await server.get("/api/deliveries/?limit=1");
    for (const [label, url] of [["overview", `${server.status}/`], ["deliveries", `${server.status}/deliveries/`], ["delivery", `${server.status}/deliveries/${one.id}/`],
      ["endpoints", `${server.status}/endpoints/`], ["endpoint", `${server.status}/endpoints/1/`], ["webhook-form", `${server.hooks}/add/`], ["failed", `${server.status}/failed/`],
      ["events", `${server.status}/events/`], ["audit", `${server.status}/audit/`], ["access", `${server.status}/access/`]]) {
      await tab.goto(url);
      if (name === "noscript") await tab.screenshot({ path: `${shots}/${name}-${label}.png` });
      if (name === "noscript" && label === "delivery") {
        const shown = () => tab.locator(".views pre").evaluateAll((all) => all.filter((pre) => pre.checkVisibility()).map((pre) => pre.className));
        assert.deepEqual(await shown(), ["pretty"]);
        await tab.getByText("As it is", { exact: true }).click();
        assert.deepEqual(await shown(), ["raw"]);
      }
      else await sound(tab, `${name}-${label}`);
    }
    await other.close();
  }
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
