// node pages.mjs BINARY: how long each page takes with 1,000,000 stored deliveries and 1,000 endpoints, whatever is looked
// for. Fails when a median is over 50 ms.
import { TOKEN, receiver, service, until } from "./world.mjs";

const LIMIT_MS = 50, ROUNDS = 15, ENDPOINTS = 1000, EVENTS = 1000;
const server = await service(process.argv[2]);
const target = await receiver();

// One old delivery, of a webhook and at an endpoint that are quiet since.
const quiet = await server.post("/api/webhooks/", { name: "quiet", models: ["dcim.rack"], type_create: true, payload_url: target.url("/quiet") });
await server.post("/api/events/", { event: "created", model: "dcim.rack", data: { id: 1, name: "old" }, request_id: "old" });
await until("the old one is delivered", async () => (await server.get(`/api/deliveries/?webhook_id=${quiet.id}&status=delivered`)).results.length === 1);

for (let i = 0; i < ENDPOINTS; i += 1) {
  const made = await server.post("/api/webhooks/", { name: `hook-${i}`, models: ["dcim.site"], type_create: true, payload_url: `http://127.0.0.1:9/hook/${i}` });
  await server.post(`/api/endpoints/${made.endpoint_id}/pause/`, {});
}
for (let i = 0; i < EVENTS; i += 100) {
  await server.post("/api/events/", Array.from({ length: 100 }, (_, k) => ({ event: "created", model: "dcim.site", data: { id: i + k, name: `s${i + k}` }, request_id: `r${i}` })));
}
// Half of them wait, half have ended.
const endpoints = (await server.get("/api/endpoints/?limit=1000")).results.map((e) => e.id).filter((id) => id !== quiet.endpoint_id);
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
const [first] = (await server.get(`/api/deliveries/?webhook_id=${quiet.id}`)).results;
const soon = new Date(Date.parse(first.created) + 1000).toISOString();
const last = endpoints.at(-1), hook = (await server.get("/api/webhooks/?name=hook-7")).results[0].id;

// What a list holds: `rows` of them (or so many at least), and whether it says that it looked back only so far.
const deliveries = [
  ["newest", "", 50], ["canceled", "status=canceled", 50], ["delivered", "status=delivered", 1],
  ["pending at an endpoint", `status=pending&endpoint_id=${last}`, 50], ["of an endpoint", `endpoint_id=${last}`, 50],
  ["canceled at an endpoint that waits", `status=canceled&endpoint_id=${last}`, 0], ["of a webhook", `webhook_id=${hook}`, 50],
  ["of a quiet endpoint", `endpoint_id=${quiet.endpoint_id}`, 1], ["delivered at it", `status=delivered&endpoint_id=${quiet.endpoint_id}`, 1],
  ["pending at it", `status=pending&endpoint_id=${quiet.endpoint_id}`, 0],
  ["of a quiet webhook", `webhook_id=${quiet.id}`, 1], ["failed of it", `status=failed&webhook_id=${quiet.id}`, 0],
  ["of 500 endpoints", endpoints.slice(500).map((id) => `endpoint_id=${id}`).join("&"), 50],
  ["of an event", `event_id=${one.event_id}`, 50], ["of a model", "model=dcim.site", 50], ["of a rare model", "model=dcim.rack", 1],
  ["of a model without any", "model=dcim.device", 0], ["deletions", "event=deleted", 0],
  ["of an object", "object_id=500", 50], ["of no object", "object_id=none", 0], ["of a request", "request_id=r500", 50], ["of no request", "request_id=none", 0],
  ["from long ago", `created__lt=${soon}`, 1], ["from before that", "created__lt=2020-01-01", 0], ["from tomorrow", `created__gte=${new Date(Date.now() + 86_400_000).toISOString()}`, 0],
  ["timeouts", "error=timeout", 0], ["status 599", "status_code=599", 0], ["status 200", "status_code=200", "some"], ["status 204", "status_code=204", "some"],
  ["slow ones", "latency_ms__gte=100000", "some"], ["of many attempts", "attempts__gte=5", "some"], ["next attempt soon", "next_attempt__lt=2040-01-01", 0],
  ["by text: request", "q=r500", 50], ["by text: object", "q=777", 50], ["by text: URL", "q=hook/777", 50], ["by text: webhook", "q=hook-778", 50],
  ["by text: quiet", "q=quiet", 1], ["by text: in all URLs", "q=127.0.0.1", 50], ["by text: in none", "q=nowhere", 0], ["by text: status", "q=204", "some"],
];
const events = [
  ["newest", "", 50], ["of an object", "object_id=500", 1], ["of no object", "object_id=none", 0], ["of a request", "request_id=r500", 50],
  ["of a rare model", "model=dcim.rack", 1], ["that no webhook matched", "matched=false", 0], ["from long ago", `created__lt=${soon}`, 1],
  ["by text", "q=r500", 50], ["by text: in none", "q=nowhere", 0],
];
const pages = [
  ["overview", "/"], ["delivery", `/deliveries/${one.id}/`], ["failed", "/failed/"], ["endpoints", "/endpoints/"],
  ["endpoints, by backlog", "/endpoints/?ordering=-backlog"], ["endpoints, by age", "/endpoints/?ordering=oldest_pending_at"], ["endpoints, paused", "/endpoints/?state=paused"], ["endpoint", `/endpoints/${last}/`], ["quiet endpoint", `/endpoints/${quiet.endpoint_id}/`],
  ["event", `/events/${one.event_id}/`], ["webhooks", `${server.hooks}/`], ["webhook", `${server.hooks}/${hook}/`], ["quiet webhook", `${server.hooks}/${quiet.id}/`],
  ["audit log", "/audit/"], ["tokens and users", "/access/"], ["nodes and settings", "/service/"],
];

let slow = 0, wrong = 0;
async function median(name, url, headers) {
  const times = [];
  let body = "";
  for (let i = 0; i < ROUNDS; i += 1) {
    const start = performance.now();
    const answer = await fetch(url, { headers: { ...headers, "Accept-Encoding": "gzip" } });
    body = await answer.text();
    times.push(performance.now() - start);
    if (answer.status !== 200) throw new Error(`${url}: ${answer.status}`);
  }
  const ms = times.sort((a, b) => a - b)[ROUNDS >> 1];
  slow += ms > LIMIT_MS ? 1 : 0;
  return [body, ms, `${name.padEnd(52)} ${ms.toFixed(1).padStart(6)} ms${ms > LIMIT_MS ? "  too slow" : ""}`];
}

/** A list as a page and over REST: both in time, with the rows that are there, and "no match" only when all was looked at. */
async function list(kind, name, query, rows) {
  const [page, , line] = await median(`${kind}: ${name}`, `${server.status}/${kind}/?${query}`, { Cookie });
  const [text, ms] = await median(name, `${server.base}/api/${kind}/?${query}`, { Authorization: `Token ${TOKEN}` });
  const answer = JSON.parse(text), shown = (page.match(/<tr data-href/g) ?? []).length;
  const bounded = page.includes("Search older"), on = answer.next !== null;
  const right = rows === "some" ? bounded === on || shown === 50 : answer.results.length === rows && shown === rows && !bounded;
  wrong += right ? 0 : 1;
  console.log(`${line}  REST ${ms.toFixed(1).padStart(6)} ms${ms > LIMIT_MS ? "  too slow" : ""}  ${shown} rows${bounded ? ", looked back in part" : ""}${right ? "" : `  WRONG, not ${rows}`}`);
}

for (const [name, query, rows] of deliveries) await list("deliveries", name, query, rows);
for (const [name, query, rows] of events) await list("events", name, query, rows);
for (const [name, path] of pages) console.log((await median(name, path.startsWith("http") ? path : server.status + path, { Cookie }))[2]);

// A search that ends early goes on to the end, and there says so.
let next = `${server.base}/api/deliveries/?latency_ms__gte=100000`, parts = 0;
const begun = performance.now();
for (; next && parts < 1000; parts += 1) ({ next } = await (await fetch(next, { headers: { Authorization: `Token ${TOKEN}` } })).json());
console.log(`a search of everything that finds nothing: ${parts} parts, ${Math.round(performance.now() - begun)} ms`);
wrong += next ? 1 : 0;
await server.stop();
target.stop();
process.exit(slow || wrong ? 1 : 0);
