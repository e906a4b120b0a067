// A real nginx in front: NetBox's own host, of which two locations are ours.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, until } from "./world.mjs";

/**
 * `upstream`: where the service listens. Everything but our two locations is answered by a NetBox that is none.
 * `users`: lines of a password file; who is in it is named to the service.
 */
export async function nginx(upstream, users) {
  const folder = mkdtempSync(join(tmpdir(), "nbwd-nginx-"));
  const port = await freePort();
  const netbox = createServer((req, res) => res.end("this is NetBox"));
  await new Promise((done) => netbox.listen(0, "127.0.0.1", done));
  const ours = (path) => `location ${path} { proxy_pass ${upstream}; include ${folder}/webhookd.conf; }`;
  writeFileSync(join(folder, "webhookd.conf"), `
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto https;
    proxy_set_header X-Forwarded-Host $http_host;
    proxy_set_header X-Remote-User $remote_user;
    proxy_http_version 1.1;`);
  if (users) writeFileSync(join(folder, "users"), users);
  const asked = users ? `auth_basic "NetBox"; auth_basic_user_file ${folder}/users;` : "";
  for (const name of ["body", "proxy", "fastcgi", "uwsgi", "scgi"]) mkdirSync(join(folder, name));
  writeFileSync(join(folder, "nginx.conf"), `
    daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log;
    events {}
    http {
      access_log off;
      client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi;
      uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
      server {
        listen 127.0.0.1:${port};
        ${asked}
        ${ours("/admin/webhook-backend-status/")}
        ${ours("/admin/extras/webhook/")}
        location / { proxy_pass http://127.0.0.1:${netbox.address().port}; }
      }
    }`);
  const child = spawn("nginx", ["-c", join(folder, "nginx.conf"), "-e", join(folder, "error.log")], { stdio: "ignore" });
  const ended = new Promise((done) => child.on("exit", done));
  const base = `http://127.0.0.1:${port}`;
  await until("nginx answers", () => fetch(base).then((a) => a.ok || a.status === 401, () => false));
  return { base, stop: async () => { child.kill("SIGTERM"); netbox.closeAllConnections(); netbox.close(); await ended; rmSync(folder, { recursive: true, force: true }); } };
}
