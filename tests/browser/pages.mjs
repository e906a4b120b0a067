// node pages.mjs BINARY: how long each page takes with 1,000,000 stored deliveries and 1,000 endpoints. Fails when the
// median of one that is found by index is over 50 ms.
import { TOKEN, service, until } from "./world.mjs";

const LIMIT_MS = 50, ROUNDS = 15, ENDPOINTS = 1000, EVENTS = 1000;
const server = await service(process.argv[2]);

for (let i = 0; i < ENDPOINTS; i += 1) {
  const made = await server.post("/api/webhooks/", { name: `hook-${i}`, models: ["dcim.site"], type_create: true, payload_url: `http://127.0.0.1:9/hook/${i}` });
  await server.post(`/api/endpoints/${made.endpoint_id}/pause/`, {});
}
for (let i = 0; i < EVENTS; i += 100) {
  await server.post("/api/events/", Array.from({ length: 100 }, (_, k) => ({ event: "created", model: "dcim.site", data: { id: i + k, name: `s${i + k}` }, request_id: `r${i}` })));
}
// Half of them wait, half have ended.
const endpoints = (await server.get("/api/endpoints/?limit=1000")).results.map((e) => e.id);
const bulk = await server.post("/api/deliveries/cancel/", { endpoint_id: endpoints.slice(0, ENDPOINTS / 2) });
await until("half is canceled", async () => (await server.get(`/api/bulk-actions/${bulk.id}/`)).state === "finished", 600_000);

const login = await fetch(`${server.status}/login/`);
const [before] = login.headers.get("set-cookie").split(";");
const csrf = (await login.text()).match(/name="csrf" value="([0-9a-f]+)"/)[1];
const entered = await fetch(`${server.status}/login/`, {
  method: "POST", redirect: "manual", headers: { Cookie: before, "Content-Type": "application/x-www-form-urlencoded" }, body: `csrf=${csrf}&token=${TOKEN}`,
});
const [Cookie] = entered.headers.get("set-cookie").split(";");
const [one] = (await server.get("/api/deliveries/?limit=1")).results;
const last = endpoints.at(-1);
const pages = [
  ["overview", "/"], ["deliveries", "/deliveries/"], ["deliveries, canceled", "/deliveries/?status=canceled"],
  ["deliveries, pending at an endpoint", `/deliveries/?status=pending&endpoint_id=${last}`], ["deliveries, of a model", "/deliveries/?model=dcim.site"],
  ["deliveries, of an event", `/deliveries/?event_id=${one.event_id}`], ["delivery", `/deliveries/${one.id}/`], ["failed", "/failed/"],
  ["endpoints", "/endpoints/"], ["endpoints, by backlog", "/endpoints/?order=backlog"], ["endpoint", `/endpoints/${last}/`], ["events", "/events/"],
  ["event", `/events/${one.event_id}/`], ["webhooks", `${server.hooks}/`], ["webhook", `${server.hooks}/1/`], ["audit log", "/audit/"], ["tokens and users", "/access/"],
  ["nodes and settings", "/service/"],
];
// Text and objects are looked for in every event: shown, not held to the limit.
const searches = [["deliveries, of an object", "/deliveries/?object_id=500"], ["deliveries, by text", "/deliveries/?q=r500"]];

async function median(path) {
  const times = [];
  for (let i = 0; i < ROUNDS; i += 1) {
    const start = performance.now();
    const answer = await fetch(path.startsWith("http") ? path : server.status + path, { headers: { Cookie, "Accept-Encoding": "gzip" } });
    await answer.arrayBuffer();
    times.push(performance.now() - start);
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status}`);
  }
  return times.sort((a, b) => a - b)[ROUNDS >> 1];
}

let slow = 0;
for (const [list, limit] of [[pages, LIMIT_MS], [searches, Infinity]]) {
  for (const [name, path] of list) {
    const ms = await median(path);
    slow += ms > limit ? 1 : 0;
    console.log(`${name.padEnd(36)} ${ms.toFixed(1).padStart(6)} ms${ms > limit ? "  too slow" : ""}`);
  }
}
await server.stop();
process.exit(slow ? 1 : 0);
