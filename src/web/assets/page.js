// What makes a page live: refreshes, the "new rows" bar, selection, keyboard. Every page works without it.
"use strict";
(() => {
  const body = document.body;
  const $ = (selector, within = document) => within.querySelector(selector);
  const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
  const POPOVERS = window.CSS && CSS.supports("selector(:popover-open)");
  const opened = () => $("dialog[open]") || (POPOVERS && $("[popover]:popover-open"));
  const kept = {
    get(name, otherwise) { try { return localStorage.getItem(`netbox-webhookd-${name}`) ?? otherwise; } catch { return otherwise; } },
    set(name, value) { try { localStorage.setItem(`netbox-webhookd-${name}`, value); } catch { /* it is not remembered */ } },
  };
  // For those who do not see it.
  const say = (text) => { const said = $("#said"); if (said && said.textContent !== text) said.textContent = text; };

  // What was done is said once: not again when the page is loaded anew, or its address is passed on.
  const address = new URL(location.href);
  if (address.searchParams.has("notice")) {
    address.searchParams.delete("notice");
    history.replaceState(null, "", address);
  }

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

  // Times -----------------------------------------------------------------
  // As the server writes them.
  function span(seconds) {
    const s = Math.floor(seconds), minutes = Math.floor(s / 60), hours = Math.floor(s / 3600);
    if (s < 60) return `${s} s`;
    if (s < 600 && s % 60) return `${minutes} min ${s % 60} s`;
    if (s < 3600) return `${minutes} min`;
    if (s < 86400) return s % 3600 >= 60 ? `${hours} h ${Math.floor((s % 3600) / 60)} min` : `${hours} h`;
    return `${Math.floor(s / 86400)} d`;
  }
  function agree() {
    const now = Date.now() / 1000;
    for (const time of $$("time[datetime]")) {
      const at = Date.parse(time.dateTime) / 1000;
      if (Number.isNaN(at)) continue;
      const text = at > now + 1 ? `in ${span(at - now)}` : now - at < 1 ? "just now" : `${span(now - at)} ago`;
      if (time.textContent !== text) time.textContent = text;
    }
  }

  // Live ------------------------------------------------------------------
  // A page is fetched again and its live part swapped; nothing moves while somebody types, selects or looks elsewhere.
  const live = () => $("[data-live]");
  let waiting = false, last = 0, failures = 0, asking = 0, polling = 0;
  // A choice of how something is shown is none of them.
  const FIELDS = 'input:not([type="radio"]), textarea, select';
  const changed = (field) => (field.type === "checkbox" ? field.checked !== field.defaultChecked
    : field.tagName === "SELECT" ? [...field.options].some((o) => o.selected !== o.defaultSelected && o.defaultSelected) : field.value !== field.defaultValue);
  function busy() {
    const part = live();
    const active = document.activeElement;
    const typing = active && part && part.contains(active) && active.matches(FIELDS);
    const filled = part && $$(FIELDS, part).some(changed);
    return document.hidden || !document.hasFocus() && body.dataset.blurred || asking > 0 || picked() > 0 || typing || filled || opened() || String(getSelection() || "").length > 0;
  }
  // One that is under the pointer or has the focus does not move: its rows stay where they are.
  const held = (table) => table.matches(":hover") || table.contains(document.activeElement);
  function settle(part, fresh) {
    const olds = $$("tbody", part), news = $$("tbody", fresh);
    if (olds.length !== news.length) return !olds.some(held);
    return olds.every((old, i) => {
      if (!held(old)) return true;
      const place = new Map($$("tr[data-href]", old).map((row, n) => [row.dataset.href, n]));
      const rows = $$("tr[data-href]", news[i]);
      if (rows.length !== place.size || !rows.every((row) => place.has(row.dataset.href))) return false;
      rows.sort((a, b) => place.get(a.dataset.href) - place.get(b.dataset.href)).forEach((row) => news[i].append(row));
      return true;
    });
  }
  async function refresh(asked = false) {
    const part = live();
    if (!part || (busy() && !asked)) return;
    const slow = setTimeout(() => body.classList.add("is-loading"), 400);
    try {
      const answer = await fetch(location.href, { headers: { "X-Live": "1" }, redirect: "manual" });
      if (answer.type === "opaqueredirect") { location.reload(); return; }
      if (!answer.ok) { stale(answer.status === 403 ? "You may not see this page any more." : `The service answers ${answer.status}; what is shown may be old.`); return; }
      const text = await answer.text();
      if ((busy() && !asked) || live() !== part) return;
      const fresh = new DOMParser().parseFromString(text, "text/html").getElementById(part.id);
      if (!fresh) return;
      stale("");
      const charts = $$("[data-chart]", part), data = $$("[data-chart]", fresh);
      const same = charts.length === data.length;
      // Charts are drawn anew from their data, without a flicker.
      if (same) charts.forEach((chart, i) => { if (chart.redraw) chart.redraw(data[i]); });
      if (bare(part) === bare(fresh)) { agree(); return; }
      if (!asked && !settle(part, fresh)) return;
      if (same) data.forEach((gap) => { gap.removeAttribute("data-chart"); gap.setAttribute("data-gap", ""); });
      const focus = nameOf(document.activeElement), scrolled = $$(".scroll, pre", part).map((e) => [e.scrollLeft, e.scrollTop]);
      const chosen = $$('input[type="radio"]:checked', part).map((radio) => `${radio.name}=${radio.value}`);
      const open = new Set($$("details[open]", part).map(detail(part)));
      htmx.swap(part, fresh.outerHTML, { swapStyle: "outerHTML" });
      const now = live();
      $$("[data-gap]", now).forEach((gap, i) => gap.replaceWith(charts[i]));
      $$("details", now).forEach((d) => { if (open.has(detail(now)(d))) d.open = true; });
      $$('input[type="radio"]', now).forEach((radio) => { if (chosen.includes(`${radio.name}=${radio.value}`)) radio.checked = true; });
      $$(".scroll, pre", now).forEach((e, i) => { if (scrolled[i]) [e.scrollLeft, e.scrollTop] = scrolled[i]; });
      find(now, focus)?.focus({ preventScroll: true });
    } catch { stale("Live updates are interrupted; what is shown may be old."); } finally {
      clearTimeout(slow);
      body.classList.remove("is-loading");
      poll();
    }
  }
  function stale(text) {
    body.classList.toggle("is-stale", text !== "");
    const bar = $(".stale");
    if (bar && text) bar.textContent = text;
    if (text || $("#said")?.dataset.stale) say(text || "Live again.");
    const said = $("#said");
    if (said) { if (text) said.dataset.stale = "1"; else delete said.dataset.stale; }
  }
  // What a chart drew is no difference, and neither is which boxes are open.
  const bare = (part) => $$("[data-chart]", part).reduce((text, chart) => text.replace(chart.outerHTML, ""), part.innerHTML)
    .replace(/<details open="">/g, "<details>").replace(/ class="at"/g, "").replace(/(<time [^>]*>)[^<]*/g, "$1").replace(/ hidden=""/g, "");
  const detail = (part) => (d) => {
    const text = $("summary", d).textContent;
    return `${text} ${$$("details", part).filter((other) => $("summary", other).textContent === text).indexOf(d)}`;
  };
  // Something that can have the focus, known again in the part that takes its place.
  const FOCUSABLE = "a, button, summary, input, select, [tabindex]";
  function nameOf(element) {
    if (!element || !element.matches || !element.matches(FOCUSABLE) || !live()?.contains(element)) return null;
    const row = element.closest("tr[data-href]"), form = element.closest("form");
    return JSON.stringify([row && row.dataset.href, element.tagName, element.id, element.getAttribute("href"), element.getAttribute("popovertarget"),
      element.getAttribute("data-act"), element.type === "radio" && element.value, form && !element.dataset.act && form.getAttribute("action"), element.tagName === "SUMMARY" && element.textContent]);
  }
  const find = (part, name) => (name ? $$(FOCUSABLE, part).find((element) => nameOf(element) === name) : null);
  // The live part is a new one.
  function settled() {
    const part = live();
    if (!part) return;
    if (window.drawCharts) window.drawCharts();
    revealCopy(part);
    mark();
  }

  // Forms that act in place: htmx sends them and swaps the live part. What went wrong is said where it was asked.
  let from = null;
  document.addEventListener("htmx:beforeRequest", (event) => {
    asking += 1;
    body.classList.add("is-loading");
    const sheet = event.detail.elt.closest("[popover]");
    from = nameOf(sheet ? $(`[popovertarget="${CSS.escape(sheet.id)}"]`) : document.activeElement);
  });
  document.addEventListener("htmx:afterRequest", () => { asking -= 1; body.classList.remove("is-loading"); });
  document.addEventListener("htmx:beforeSwap", (event) => {
    // Led to the login page, say.
    if (event.detail.xhr.status < 400 && !event.detail.xhr.responseText.includes('data-live="')) { event.detail.shouldSwap = false; location.reload(); }
  });
  document.addEventListener("htmx:afterSettle", () => {
    settled();
    if (from && !live()?.contains(document.activeElement)) (find(live(), from) || $("#content"))?.focus({ preventScroll: true });
    from = null;
  });
  document.addEventListener("htmx:responseError", (event) => {
    const page = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html");
    const said = $("[data-said]", page);
    const form = event.detail.elt.closest("form");
    const place = (form && $("[data-problem]", form)) || $("#notice");
    place.textContent = said ? said.textContent : "The service did not take it.";
    place.hidden = false;
  });
  document.addEventListener("htmx:sendError", () => stale("The service does not answer; nothing was changed, as far as is known."));

  // How often at most, in milliseconds; 0: only when asked. Remembered by the browser.
  const pace = $("[data-pace]");
  let every = Number(kept.get("pace", 1500));
  if (pace) {
    pace.hidden = false;
    const choice = $("select", pace);
    choice.value = String(every);
    choice.addEventListener("change", () => {
      every = Number(choice.value);
      kept.set("pace", choice.value);
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
    clearTimeout(polling);
    const part = live();
    if (part && part.dataset.poll) polling = setTimeout(refresh, Number(part.dataset.poll));
  }

  // New rows wait behind a bar: a list never moves under the cursor. Ids begin with the time: a higher one is newer.
  const fresh = new Set();
  const MOST = 999;
  const filtered = () => [...new URLSearchParams(location.search)].some(([name, value]) => value && !["limit", "cursor"].includes(name));
  function news(change) {
    const part = live();
    if (!part) return;
    const kind = part.dataset.live;
    if (kind === "page") { soon(); return; }
    if (kind === "delivery") { if (change.id === part.dataset.id) soon(); return; }
    if (kind === "list" && change.type === "delivery") {
      const row = $(`tr[data-id="${CSS.escape(change.id)}"]`, part);
      if (row) { stateOf(row, change); return; }
    }
    if (change.type !== (kind === "events" ? "event" : "delivery") || new URLSearchParams(location.search).has("cursor")) return;
    const newest = $("tr[data-id]", part);
    if (newest && change.id <= newest.dataset.id) return;
    if (fresh.size <= MOST) fresh.add(change.id);
    const bar = $("[data-newbar]", part), things = kind === "events" ? "events" : "deliveries";
    if (!bar) { soon(); return; }
    bar.hidden = false;
    const count = fresh.size > MOST ? `${MOST}+` : String(fresh.size);
    // Whether they match only the service knows.
    bar.textContent = filtered() ? `There are new ${things}: look for more that match` : `${count} new: show ${count === "1" ? "it" : "them"}`;
    if (fresh.size === 1) say(`There are new ${things}.`);
  }
  const colours = { delivered: "green", failed: "red", retrying: "orange", in_flight: "blue" };
  function stateOf(row, change) {
    const cell = (name) => $(`[data-cell="${name}"]`, row);
    if (!cell("state")) return;
    const badge = $(".badge", cell("state"));
    const text = change.state.replace("_", " ");
    if (badge.textContent === text) return;
    badge.textContent = text;
    badge.className = `badge ${colours[change.state] || ""} flash`;
    const note = $(".small", cell("state"));
    if (note) note.textContent = "";
    cell("attempts").textContent = change.attempts;
    cell("next").textContent = "";
    if (change.status_code) cell("result").textContent = change.status_code;
  }
  document.addEventListener("click", async (event) => {
    if (!event.target.closest("[data-newbar]")) return;
    fresh.clear();
    picks().forEach((box) => { box.checked = false; });
    await refresh(true);
    const first = $("tr[data-href] a", live() || document);
    if (first) first.focus({ preventScroll: true });
  });
  let source = null;
  function connect() {
    if (!body.dataset.stream || !live() || !window.EventSource || source) return;
    source = new EventSource(body.dataset.stream);
    source.addEventListener("open", () => { if (failures) soon(); failures = 0; stale(""); });
    source.addEventListener("change", (event) => news(JSON.parse(event.data)));
    source.addEventListener("lagged", soon);
    source.addEventListener("error", () => {
      if (++failures > 1) stale("Live updates are interrupted; what is shown may be old.");
      if (source.readyState === EventSource.CLOSED) { source = null; setTimeout(connect, 10000); }
    });
  }
  const away = () => { if (source) { source.close(); source = null; } };
  document.addEventListener("visibilitychange", () => { if (document.hidden) away(); else { connect(); if (live()) soon(); } });
  addEventListener("blur", () => { body.dataset.blurred = "1"; });
  addEventListener("focus", () => { delete body.dataset.blurred; if (live() && live().dataset.live !== "list") soon(); });
  addEventListener("pagehide", away);
  // Times and rates go on without events.
  setInterval(() => {
    if (document.hidden) return;
    agree();
    const part = live();
    if (part && part.dataset.live !== "list" && part.dataset.live !== "events") soon();
  }, 10000);

  // Keyboard --------------------------------------------------------------
  let at = -1, href = null, going = false;
  let keys = kept.get("keys", "on") === "on";
  const lines = () => $$("main tr[data-href]");
  // The row that was marked, wherever it is now.
  function mark(index) {
    const rows = lines();
    $$("tr.at").forEach((row) => row.classList.remove("at"));
    if (index === undefined) index = href === null ? -1 : rows.findIndex((row) => row.dataset.href === href);
    at = Math.min(index, rows.length - 1);
    href = at < 0 ? null : rows[at].dataset.href;
    if (at >= 0) rows[at].classList.add("at");
  }
  function move(step) {
    mark(Math.max(0, at + step));
    const row = lines()[at];
    if (!row) return;
    row.scrollIntoView({ block: "nearest" });
    const links = $$("a", row);
    const link = links.find((a) => a.getAttribute("href") === row.dataset.href) || links[0];
    if (link) link.focus({ preventScroll: true });
  }
  // Of the row that is marked, of those that are selected, or of what the page is about; never of just any row.
  function act(key) {
    const row = lines()[at], box = row && $('input[name="id"]', row);
    const bar = $(`.picked [data-act="${key}"]`);
    if (bar) {
      if (box && !picked()) { box.checked = true; showPicked(); }
      if (picked()) bar.click();
      return;
    }
    ((row && $(`[data-act="${key}"]`, row)) || $(`main .head [data-act="${key}"]`))?.click();
  }
  const HELP = [["/", "search"], ["j  k", "next, previous row"], ["Enter", "open the row"], ["x", "select the row"],
    ["r", "retry"], ["p", "pause or resume"], ["g o", "overview"], ["g d", "deliveries"], ["g f", "failed"], ["g e", "endpoints"],
    ["g v", "events"], ["g w", "webhooks"], ["g b", "bulk actions"], ["g a", "audit log"], ["g t", "tokens and users"], ["g s", "nodes and settings"], ["?", "this help"]];
  function help() {
    let dialog = $("#keys");
    if (!dialog) {
      dialog = document.createElement("dialog");
      dialog.id = "keys";
      dialog.setAttribute("aria-label", "Keyboard");
      const list = document.createElement("dl");
      list.className = "facts";
      for (const [combination, text] of HELP) {
        if (combination.startsWith("g ") && !$(`.nav [data-key="${combination[2]}"]`)) continue;
        const dt = document.createElement("dt"), dd = document.createElement("dd"), kbd = document.createElement("kbd");
        kbd.textContent = combination; dt.append(kbd); dd.textContent = text; list.append(dt, dd);
      }
      const form = document.createElement("form"), close = document.createElement("button"), heading = document.createElement("h2");
      const label = document.createElement("label"), box = document.createElement("input");
      box.type = "checkbox"; box.checked = keys; label.className = "check";
      label.append(box, "Single keys act");
      box.addEventListener("change", () => { keys = box.checked; kept.set("keys", keys ? "on" : "off"); });
      form.method = "dialog"; close.textContent = "Close"; heading.textContent = "Keyboard";
      form.append(label, close);
      dialog.append(heading, list, form);
      body.append(dialog);
    }
    if (dialog.open) dialog.close(); else dialog.showModal();
  }
  const helper = $("[data-help]");
  if (helper) { helper.hidden = false; helper.addEventListener("click", help); }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const typing = event.target.matches('input:not([type="checkbox"]):not([type="radio"]), textarea, select');
    if (event.key === "Escape" && typing && !opened()) { event.target.blur(); return; }
    if (typing || !keys) return;
    if (opened()) { if (event.key === "?" && $("#keys[open]")) help(); return; }
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
    else if (key === "r" || key === "p") act(key);
    else if (key === "?") help();
  });

  revealCopy(document);
  showPicked();
  agree();
  poll();
  connect();
})();
