// node scenes.mjs BINARY FOLDER: the screenshots of docs/dashboard.md, and scenes to look at: many endpoints, long names,
// right-to-left text, everything failing.
import { mkdirSync } from "node:fs";
import { TOKEN, launch, receiver, service, until } from "./world.mjs";

const [binary, folder] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const browser = await launch();
const target = await receiver();
const server = await service(binary, { NETBOX_WEBHOOKD__DELIVERY__BACKOFF_INITIAL: "300ms", NETBOX_WEBHOOKD__DELIVERY__MAX_ATTEMPTS: "3", NETBOX_WEBHOOKD__DELIVERY__BREAKER_THRESHOLD: "6" });
const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
const page = await context.newPage();
await page.goto(`${server.status}/login/`);
await page.getByLabel("API token").fill(TOKEN);
await page.getByRole("button", { name: "Log in with the token" }).click();
await page.getByText("bootstrap (admin)").waitFor();

const hook = (name, path, models) => server.post("/api/webhooks/", { name, models, type_create: true, type_update: true, type_delete: true, payload_url: target.url(path), secret: "s" });
await hook("awx-inventory", "/awx/inventory", ["dcim.device", "dcim.site"]);
await hook("dns-zones", "/dns/zones", ["ipam.ipaddress"]);
await hook("cmdb-sync", "/cmdb/sync", ["dcim.device", "ipam.ipaddress"]);
await hook("monitoring", "/monitoring", ["dcim.device"]);
target.answer("/cmdb/sync", 500);
let n = 0;
const device = (id) => ({
  event: "updated", model: "dcim.device", username: "ann", request_id: `7c2e9f00-0000-4000-8000-${String(++n).padStart(12, "0")}`,
  data: { id, name: `ams1-sw${id}`, status: { value: "active", label: "Active" }, site: { id: 1, name: "ams-1" } },
  snapshots: { prechange: { name: `ams1-sw${id}`, status: "planned", custom_fields: { owner: null }, tags: [] }, postchange: { name: `ams1-sw${id}`, status: "active", custom_fields: { owner: "netops" }, tags: ["core"] } },
});
const address = (id) => ({ event: "created", model: "ipam.ipaddress", username: "bob", data: { id, address: `10.0.0.${id % 250}/24` } });
const end = Date.now() + Number(process.env.SECONDS ?? 75) * 1000;
while (Date.now() < end) {
  await server.post("/api/events/", Array.from({ length: 1 + Math.floor(Math.random() * 5) }, () => (Math.random() < 0.6 ? device(1 + Math.floor(Math.random() * 400)) : address(1 + Math.floor(Math.random() * 900)))));
  await new Promise((next) => setTimeout(next, 150 + Math.random() * 250));
}
const shoot = async (name, url, options = {}) => { await page.goto(url); await page.waitForTimeout(400); await page.screenshot({ path: `${folder}/${name}.png`, ...options }); };
await shoot("overview", `${server.status}/`);
const failed = (await server.get("/api/deliveries/?status=failed&model=dcim.device&limit=1")).results[0];
await shoot("delivery", `${server.status}/deliveries/${failed.id}/`);
await shoot("deliveries", `${server.status}/deliveries/`);
await shoot("endpoints", `${server.status}/endpoints/?ordering=-failed`);
await shoot("endpoint", `${server.status}/endpoints/3/`, { fullPage: true });
await shoot("failed", `${server.status}/failed/`);
for (const [name, text] of [["long", `a-${"very-".repeat(24)}long-name`], ["rtl", "موقع الويب للاختبار שלום"]]) {
  await server.post("/api/webhooks/", { name: text, description: text, models: ["dcim.site"], type_create: true, payload_url: target.url(`/${name}/${"x".repeat(180)}`) });
}
await server.post("/api/events/", { event: "created", model: "dcim.site", data: { id: 1, name: "שלום" }, username: "موقع", request_id: `${"r".repeat(120)}` });
await until("they are delivered", async () => (await server.get("/api/deliveries/?model=dcim.site")).results.length >= 3);
await shoot("names-deliveries", `${server.status}/deliveries/?model=dcim.site`);
await shoot("names-webhooks", `${server.hooks}/`);
const { results: [named] } = await server.get("/api/deliveries/?model=dcim.site&limit=1");
await shoot("names-delivery", `${server.status}/deliveries/${named.id}/`, { fullPage: true });
await shoot("names-endpoints", `${server.status}/endpoints/?q=xxx`);
await shoot("names-endpoint", `${server.status}/endpoints/${named.endpoint_id}/`);

// Everything fails: some limit, some ask for a pause, some are down.
for (const path of ["/awx/inventory", "/dns/zones", "/monitoring"]) target.answer(path, path === "/dns/zones" ? 429 : 503);
for (let i = 0; i < 60; i += 1) await server.post("/api/events/", [device(1 + i % 7), address(1 + i)]);
await until("some have failed", async () => (await server.get("/api/status/")).deliveries.failed > 60);
await shoot("failing-overview", `${server.status}/`, { fullPage: true });
await shoot("failing-endpoints", `${server.status}/endpoints/?ordering=oldest_pending_at`);
await shoot("failing-endpoint", `${server.status}/endpoints/2/`, { fullPage: true });
await shoot("failing-failed", `${server.status}/failed/`);

// Very many endpoints.
for (let i = 0; i < 1000; i += 1) await server.post("/api/webhooks/", { name: `many-${i}`, models: ["dcim.rack"], type_create: true, payload_url: target.url(`/many/${i}`) });
await server.post("/api/events/", { event: "created", model: "dcim.rack", data: { id: 1, name: "r1" } });
await until("all are served", async () => (await server.get("/api/deliveries/?model=dcim.rack&status=delivered&limit=1000")).results.length === 1000);
await shoot("many-overview", `${server.status}/`, { fullPage: true });
await shoot("many-endpoints", `${server.status}/endpoints/`);
await shoot("many-event", `${server.status}/events/`);
await page.setViewportSize({ width: 390, height: 844 });
await shoot("many-endpoints-phone", `${server.status}/endpoints/`);
await shoot("endpoint-phone", `${server.status}/endpoints/2/`, { fullPage: true });
await shoot("delivery-phone", `${server.status}/deliveries/${failed.id}/`, { fullPage: true });
await browser.close();
await server.stop();
target.stop();
