// The service under test, receivers whose answers are scripted, and a browser.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as listen } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const TOKEN = "test-token-0123456789abcdef0123456789abcdef";
/** How long anything may take, in milliseconds. */
export const PATIENCE = 30_000;

export const freePort = () => new Promise((done) => {
  const probe = listen().listen(0, "127.0.0.1", () => { const { port } = probe.address(); probe.close(() => done(port)); });
});

/** Waits for a fact. */
export async function until(what, fact, patience = PATIENCE) {
  const deadline = Date.now() + patience;
  for (;;) {
    const found = await fact();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`not within ${patience} ms: ${what}`);
    await new Promise((next) => setTimeout(next, 30));
  }
}

/** A receiver whose answer can be changed: `status` by path, else 200. */
export async function receiver() {
  const seen = [];
  const answers = new Map();
  const server = createServer((req, res) => {
    let body = "";
    req.on("data", (chunk) => { body += chunk; });
    req.on("end", () => {
      seen.push({ path: req.url, headers: req.headers, body, at: Date.now() });
      res.statusCode = answers.get(req.url) ?? 200;
      res.setHeader("Content-Type", "text/html");
      res.end(res.statusCode === 200 ? "ok" : '<script>document.title="owned"</script><b>no</b>');
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const url = (path) => `http://127.0.0.1:${server.address().port}${path}`;
  return { seen, url, answer: (path, status) => answers.set(path, status), stop: () => { server.closeAllConnections(); server.close(); } };
}

/** The service in a temporary folder, on a free port. */
export async function service(binary, env = {}) {
  const folder = mkdtempSync(join(tmpdir(), "nbwd-browser-"));
  const port = await freePort();
  const log = [];
  const child = spawn(binary, ["serve"], {
    cwd: folder,
    env: {
      ...process.env, NETBOX_WEBHOOKD__SERVER__LISTEN: `127.0.0.1:${port}`, NETBOX_WEBHOOKD__AUTH__BOOTSTRAP_TOKEN: TOKEN,
      NETBOX_WEBHOOKD__STORE__PATH: join(folder, "data"), NETBOX_WEBHOOKD__LOG__FORMAT: "json",
      NETBOX_WEBHOOKD__NETBOX__URL: "", ...env,
    },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let rest = "";
  child.stderr.on("data", (chunk) => {
    rest += chunk;
    const lines = rest.split("\n");
    rest = lines.pop();
    log.push(...lines);
  });
  const ended = new Promise((done) => child.on("exit", done));
  const base = `http://127.0.0.1:${port}`;
  const rest_api = async (method, path, json, expected = [200, 201, 202, 204]) => {
    const answer = await fetch(base + path, {
      method, headers: { Authorization: `Token ${TOKEN}`, "Content-Type": "application/json" },
      body: json === undefined ? undefined : JSON.stringify(json),
    });
    const text = await answer.text();
    if (!expected.includes(answer.status)) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : null;
  };
  await until("the service is ready", () => fetch(`${base}/health/ready`).then((a) => a.ok, () => false)).catch((e) => {
    throw new Error(`${e.message}\n${log.join("\n")}`);
  });
  return {
    base, log, status: `${base}/admin/webhook-backend-status`, hooks: `${base}/admin/extras/webhook`,
    get: (path) => rest_api("GET", path), post: (path, json) => rest_api("POST", path, json),
    patch: (path, json) => rest_api("PATCH", path, json),
    stop: async () => { child.kill("SIGTERM"); await ended; rmSync(folder, { recursive: true, force: true }); },
  };
}

export const launch = () => chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
