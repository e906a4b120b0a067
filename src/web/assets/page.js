// What makes a page live: refreshes, the "new rows" bar, selection, keyboard. Every page works without it.
"use strict";
(() => {
  const body = document.body;
  const $ = (selector, within = document) => within.querySelector(selector);
  const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Selection -------------------------------------------------------------
  const picks = () => $$('input[name="id"]');
  const picked = () => picks().filter((box) => box.checked).length;
  function showPicked() {
    const text = $("[data-picked]");
    if (text) text.textContent = picked() ? `${picked()} selected` : "Select rows, or take all that match:";
    const all = $("[data-pick-all]");
    if (all) all.checked = picks().length > 0 && picked() === picks().length;
  }
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-pick-all]")) picks().forEach((box) => { box.checked = event.target.checked; });
    if (event.target.matches('[data-pick-all], input[name="id"]')) showPicked();
  });

  // Copying ---------------------------------------------------------------
  function revealCopy(within) {
    if (navigator.clipboard) $$("[data-copy]", within).forEach((button) => { button.hidden = false; });
  }
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    try {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      button.textContent = "Copied";
    } catch { button.textContent = "Select and copy it by hand"; }
  });

  // Live ------------------------------------------------------------------
  // A page is fetched again and its live part swapped; nothing moves while somebody types, selects or looks elsewhere.
  const live = () => $("[data-live]");
  const FOCUSABLE = 'a, button, summary, [tabindex], input[type="radio"]';
  let waiting = false, last = 0, failures = 0;
  const busy = () => {
    const active = document.activeElement;
    const part = live();
    const typing = active && part && part.contains(active) && active.matches('input:not([type="radio"]), textarea, select');
    const opened = part && $("dialog[open]");
    const selection = String(getSelection() || "");
    return document.hidden || picked() > 0 || typing || opened || selection.length > 0;
  };
  async function refresh() {
    const part = live();
    if (!part || busy()) return;
    const open = $$("details", part).map((d) => d.open);
    const chosen = $$('input[type="radio"]:checked', part).map((radio) => `${radio.name}=${radio.value}`);
    const focus = document.activeElement && part.contains(document.activeElement) ? place(part, document.activeElement) : null;
    try {
      const answer = await fetch(location.href, { headers: { "X-Live": "1" }, redirect: "manual" });
      if (answer.type === "opaqueredirect") { location.reload(); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      const text = await answer.text();
      if (busy() || live() !== part) return;
      const fresh = new DOMParser().parseFromString(text, "text/html").getElementById(part.id);
      if (!fresh) return;
      body.classList.remove("is-stale");
      const chart = $("[data-chart]", part);
      // The chart is drawn anew from its data, without a flicker.
      const freshChart = $("[data-chart]", fresh);
      if (chart && freshChart && chart.redraw) { chart.redraw(freshChart.dataset.chart); freshChart.replaceWith(chart); }
      if (same(part, fresh)) return;
      htmx.swap(part, fresh.outerHTML, { swapStyle: "outerHTML" });
      const now = live();
      if (chart && now) { const gap = $("[data-chart]", now); if (gap && gap !== chart) gap.replaceWith(chart); }
      $$("details", now).forEach((d, i) => { if (open[i] !== undefined) d.open = open[i]; });
      $$('input[type="radio"]', now).forEach((radio) => { if (chosen.includes(`${radio.name}=${radio.value}`)) radio.checked = true; });
      if (focus !== null) { const again = $$(FOCUSABLE, now)[focus]; if (again) again.focus({ preventScroll: true }); }
      revealCopy(now);
      mark(at);
      poll();
    } catch { body.classList.add("is-stale"); }
  }
  const same = (a, b) => a.innerHTML === b.innerHTML;
  const place = (part, element) => {
    const index = $$(FOCUSABLE, part).indexOf(element);
    return index < 0 ? null : index;
  };
  // How often at most, in milliseconds; 0: only when asked. Remembered by the browser.
  const pace = $("[data-pace]");
  let every = 1500;
  try { every = Number(localStorage.getItem("netbox-webhookd-pace") ?? 1500); } catch { /* it is not remembered */ }
  if (pace) {
    pace.hidden = false;
    const choice = $("select", pace);
    choice.value = String(every);
    choice.addEventListener("change", () => {
      every = Number(choice.value);
      try { localStorage.setItem("netbox-webhookd-pace", choice.value); } catch { /* it is not remembered */ }
      choice.blur();
      if (every) soon();
    });
  }
  function soon() {
    if (waiting || !every) return;
    waiting = true;
    setTimeout(() => { waiting = false; last = Date.now(); refresh(); }, Math.max(200, every - (Date.now() - last)));
  }
  function poll() {
    const part = live();
    if (part && part.dataset.poll) setTimeout(refresh, Number(part.dataset.poll));
  }

  // New rows wait behind a bar: a list never moves under the cursor.
  const fresh = new Set();
  function news(change) {
    const part = live();
    if (!part) return;
    const kind = part.dataset.live;
    if (kind === "page") { soon(); return; }
    if (kind === "delivery") { if (change.id === part.dataset.id) soon(); return; }
    if (change.type !== "delivery") return;
    const row = $(`tr[data-id="${CSS.escape(change.id)}"]`, part);
    if (row && kind === "list") { stateOf(row, change); return; }
    const bar = $("[data-newbar]", part);
    if (!bar || new URLSearchParams(location.search).has("cursor")) { if (!bar) soon(); return; }
    if (change.state !== "pending" && change.state !== "in_flight" && !fresh.has(change.id) && kind === "list" && change.attempts > 1) return;
    fresh.add(change.id);
    bar.hidden = false;
    bar.textContent = kind === "events" ? "New events: show them" : `${fresh.size} new: show ${fresh.size === 1 ? "it" : "them"}`;
  }
  const colours = { delivered: "green", failed: "red", retrying: "orange", in_flight: "blue" };
  function stateOf(row, change) {
    const badge = $$(".badge", row.cells[row.cells.length - 3])[0];
    if (!badge) return;
    const text = change.state.replace("_", " ");
    if (badge.textContent === text) return;
    badge.textContent = text;
    badge.className = `badge ${colours[change.state] || ""} flash`;
    const note = badge.parentElement.querySelector(".small");
    if (note) note.textContent = "";
    row.cells[row.cells.length - 2].textContent = change.attempts;
    if (change.status_code) row.cells[row.cells.length - 1].textContent = change.status_code;
  }
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-newbar]")) return;
    fresh.clear();
    picks().forEach((box) => { box.checked = false; });
    event.target.blur();
    refresh();
  });
  let source = null;
  function connect() {
    if (!body.dataset.stream || !live() || !window.EventSource || source) return;
    source = new EventSource(body.dataset.stream);
    source.addEventListener("open", () => { if (failures) soon(); failures = 0; body.classList.remove("is-stale"); });
    source.addEventListener("change", (event) => news(JSON.parse(event.data)));
    source.addEventListener("lagged", soon);
    source.addEventListener("error", () => {
      if (++failures > 1) body.classList.add("is-stale");
      if (source.readyState === EventSource.CLOSED) { source = null; setTimeout(connect, 10000); }
    });
  }
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { if (source) { source.close(); source = null; } } else { connect(); if (live()) soon(); }
  });
  addEventListener("pagehide", () => { if (source) { source.close(); source = null; } });
  // Times and rates go on without events.
  setInterval(() => { const part = live(); if (part && part.dataset.live !== "list" && part.dataset.live !== "events") soon(); }, 10000);

  // Keyboard --------------------------------------------------------------
  let at = -1, going = false;
  const lines = () => $$("main tr[data-href]");
  function mark(index) {
    const rows = lines();
    $$("tr.at").forEach((row) => row.classList.remove("at"));
    if (index < 0 || !rows.length) return;
    at = Math.min(index, rows.length - 1);
    rows[at].classList.add("at");
  }
  function move(step) {
    mark(Math.max(0, at + step));
    const row = lines()[at];
    if (!row) return;
    row.scrollIntoView({ block: "nearest" });
    const link = $("a", row);
    if (link) link.focus({ preventScroll: true });
  }
  const act = (key) => {
    const row = lines()[at];
    // Without a selection the row under the cursor is meant.
    const box = row && $('input[name="id"]', row);
    if (key === "r" && box && !picked()) { box.checked = true; showPicked(); }
    const button = (row && $(`[data-act="${key}"]`, row)) || $(`main [data-act="${key}"]`);
    if (button) button.click();
  };
  const HELP = [["/", "search"], ["j  k", "next, previous row"], ["Enter", "open the row"], ["x", "select the row"],
    ["r", "retry"], ["p", "pause or resume"], ["g o", "overview"], ["g d", "deliveries"], ["g f", "failed"], ["g e", "endpoints"],
    ["g v", "events"], ["g w", "webhooks"], ["g b", "bulk actions"], ["g a", "audit log"], ["g s", "nodes and settings"], ["?", "this help"]];
  function help() {
    let dialog = $("#keys");
    if (!dialog) {
      dialog = document.createElement("dialog");
      dialog.id = "keys";
      dialog.setAttribute("aria-label", "Keyboard");
      const list = document.createElement("dl");
      list.className = "facts";
      for (const [keys, text] of HELP) {
        const dt = document.createElement("dt"), dd = document.createElement("dd"), kbd = document.createElement("kbd");
        kbd.textContent = keys; dt.append(kbd); dd.textContent = text; list.append(dt, dd);
      }
      const form = document.createElement("form"), close = document.createElement("button"), heading = document.createElement("h2");
      form.method = "dialog"; close.textContent = "Close"; heading.textContent = "Keyboard";
      form.append(close);
      dialog.append(heading, list, form);
      body.append(dialog);
    }
    if (dialog.open) dialog.close(); else dialog.showModal();
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches('input:not([type="checkbox"]), textarea, select');
    if (event.key === "Escape" && typing) { event.target.blur(); return; }
    if (typing || $("dialog[open]")) { if (event.key === "?" && !typing) help(); return; }
    const key = event.key;
    if (going) {
      going = false;
      const link = $(`.nav [data-key="${CSS.escape(key)}"]`);
      if (link) { event.preventDefault(); link.click(); return; }
    }
    const row = lines()[at];
    if (key === "g") going = true;
    else if (key === "/") { const box = $("[data-search]"); if (box) { event.preventDefault(); box.focus(); box.select(); } }
    else if (key === "j") move(1);
    else if (key === "k") move(-1);
    else if (key === "Enter" && row && !event.target.matches("a, button, summary, input")) location.href = row.dataset.href;
    else if (key === "x" && row) { const box = $('input[name="id"]', row); if (box) { box.checked = !box.checked; showPicked(); } }
    else if (key === "r") act("r");
    else if (key === "p") act("p");
    else if (key === "?") help();
  });

  revealCopy(document);
  showPicked();
  poll();
  connect();
})();
