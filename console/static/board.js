// The console's script. Every page and every act works without it; it adds live parts, keys, dialogs and charts.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const THROTTLE_MS = 1500;
const SLOW_POLL_MS = 15000;

// --- Live parts -------------------------------------------------------------------------------------------------------
// An element with an id and data-live="topic topic" is refreshed when the server tells of one of its topics.
// The whole page is asked for once and its parts are morphed in: scroll, focus, selection and open folds stay.

let morph = null;
htmx.registerExtension("board", { init: (api) => { morph = api.morph; } });

const live = { source: null, timer: 0, last: 0, wanted: new Set(), busy: false, poll: 0 };

function tell(state) {
  const told = { live: "live", reconnecting: "reconnecting", connecting: "connecting", stale: "not up to date" }[state];
  for (const mark of $$(".live")) {
    if (mark.dataset.state === state) continue;
    mark.dataset.state = state;
    mark.textContent = told;
  }
}

function topics() {
  return [...new Set($$("[data-live]").flatMap((part) => part.dataset.live.split(/\s+/)).filter(Boolean))];
}

function listen() {
  const wanted = topics();
  const stream = document.body.dataset.stream;
  if (!stream || !wanted.length || !window.EventSource) return;
  tell("connecting");
  const source = new EventSource(`${stream}?topics=${wanted.join(",")}&since=${encodeURIComponent(document.body.dataset.since)}`);
  live.source = source;
  source.onopen = () => { tell("live"); if (live.lost) { live.lost = false; want(wanted); } };
  source.onerror = () => {
    live.lost = true;
    tell("reconnecting");
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  };
  source.onmessage = (event) => want([event.type]);
  for (const topic of wanted) source.addEventListener(topic, () => want([topic]));
  source.addEventListener("reset", () => want(wanted));
}

function want(found) {
  for (const topic of found) live.wanted.add(topic);
  if (live.timer || document.hidden) return;
  const pause = Math.max(120, live.last + THROTTLE_MS - Date.now());
  live.timer = setTimeout(refresh, pause);
}

async function refresh() {
  live.timer = 0;
  if (live.busy) { live.timer = setTimeout(refresh, THROTTLE_MS); return; }
  live.busy = true;
  live.last = Date.now();
  const wanted = new Set(live.wanted);
  live.wanted.clear();
  try {
    await replaceParts((part) => part.dataset.live.split(/\s+/).some((topic) => wanted.has(topic)));
    if (live.source && live.source.readyState === EventSource.OPEN) tell("live");
  } catch {
    tell("stale");
    for (const topic of wanted) live.wanted.add(topic);
    live.timer = setTimeout(refresh, 5000);
  } finally {
    live.busy = false;
  }
}

async function replaceParts(chosen) {
  const answer = await fetch(location.href, { headers: { "X-Board-Refresh": "1" }, credentials: "same-origin" });
  if (answer.redirected && new URL(answer.url).pathname.startsWith("/sign-in")) { location.reload(); return; }
  if ($("[data-awaits]")) { if (answer.ok) location.reload(); return; } // what the page is for was not there yet
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of $$("[data-live][id]").filter(chosen)) {
    const other = fresh.getElementById(part.id);
    if (!other || part.outerHTML === other.outerHTML) continue;
    const fragment = document.createDocumentFragment();
    fragment.append(document.adoptNode(other));
    morph(part, fragment, false);
  }
  dress();
}

// --- What a fresh part needs ------------------------------------------------------------------------------------------

function dress() {
  for (const copy of $$("button[data-copy]")) copy.hidden = false;
  drawCharts();
  tickTimes();
  countChosen();
  const row = here && document.getElementById(here);
  if (row) row.classList.add("here");
}

const UNITS = [["d", 86400, 172800], ["h", 3600, 7200], ["min", 60, 120], ["s", 1, 0]];

function span(seconds) {
  const [unit, size] = UNITS.find(([, , least]) => seconds >= least) || UNITS[3];
  return `${Math.max(0, Math.round(seconds / size))} ${unit}`;
}

function tickTimes() {
  const now = Date.now();
  for (const time of $$("time[data-tick]")) {
    const seconds = (now - Date.parse(time.dateTime)) / 1000;
    const text = { ago: seconds < 0 ? `in ${span(-seconds)}` : `${span(seconds)} ago`, since: span(Math.max(0, seconds)) }[time.dataset.tick];
    if (time.textContent !== text) time.textContent = text;
  }
}

// --- Charts -----------------------------------------------------------------------------------------------------------

const charts = new WeakMap();

function drawCharts() {
  for (const figure of $$("[data-chart]")) {
    const known = charts.get(figure);
    const place = $(".plot", figure);
    const width = place.clientWidth;
    const look = figure.dataset.chart + isDark() + width;
    if (known && known.look === look) continue;
    const told = JSON.parse(figure.dataset.chart);
    if (known) known.plot.destroy();
    if (!told.at.length || !width) continue;
    place.replaceChildren();
    charts.set(figure, { look, plot: new uPlot(chartOptions(width, told), [told.at, ...told.series.map((one) => one.values)], place) });
  }
}

function isDark() {
  return document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
}

function chartOptions(width, told) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const axis = { stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line") }, font: "11px system-ui" };
  const bars = uPlot.paths.bars({ size: [0.8, 14] });
  return {
    width, height: 190, padding: [10, 22, 0, 0], cursor: { y: false, points: { size: 6 } },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "UTC"),
    scales: { y: { range: (_plot, _least, most) => [0, Math.max(4, most * 1.1)] } },
    axes: [
      { ...axis, values: [[86400, "{D} {MMM}", null, null, null, null, null, null, 1], [3600, "{HH}:{mm}", null, null, null, null, null, null, 1], [1, "{HH}:{mm}", null, null, null, null, null, null, 1]] },
      { ...axis, size: 46, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6] },
    ],
    series: [
      { label: "UTC", value: "{YYYY}-{MM}-{DD} {HH}:{mm}" },
      ...told.series.map((one) => one.bars
        ? { label: one.label, stroke: colour(one.colour), fill: colour(one.colour), paths: bars, points: { show: false } }
        : { label: one.label, stroke: colour(one.colour), fill: colour(`${one.colour}-tint`), width: 1.5, points: { show: false } }),
    ],
  };
}

// --- Keys: j k move, enter opens, x chooses, / filters, g then a letter jumps, ? tells --------------------------------

let here = "";
let jumping = 0;
const JUMPS = { d: "/admin/background_jobs", f: "/admin/background_jobs/failures", i: "/admin/issues", l: "/admin/dead_letters",
  j: "/admin/jobs", s: "/admin/schedules", q: "/admin/queues", w: "/admin/workers", a: "/admin/audit" };

function rows() { return $$("tr[data-row]").filter((row) => row.offsetParent); }

function move(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.findIndex((row) => row.id === here);
  const row = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + step))];
  all.forEach((one) => one.classList.toggle("here", one === row));
  here = row.id;
  const link = $("a[data-open]", row);
  if (link) link.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}

function pressed(event) {
  const typing = event.target.closest("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]");
  if (event.key === "Escape" && typing) { typing.blur(); return; }
  if (typing || event.ctrlKey || event.metaKey || event.altKey || $("dialog[open]")) return;
  const done = { "/": focusFilter, j: () => move(1), k: () => move(-1), x: choose, Enter: open, "?": help, g: () => { jumping = Date.now(); } };
  if (jumping && Date.now() - jumping < 1200 && JUMPS[event.key]) { event.preventDefault(); location.href = JUMPS[event.key]; return; }
  jumping = 0;
  const act = done[event.key];
  if (act && act(event) !== false) { if (event.key !== "Enter") event.preventDefault(); }
}

function focusFilter() { const box = $("input[data-filter]"); if (box) { box.focus(); box.select(); } }

function choose() {
  const row = document.getElementById(here);
  const tick = row && $("input[type=checkbox]", row);
  if (tick) { tick.checked = !tick.checked; countChosen(); }
}

function open(event) {
  if (event.target.closest("a, button, summary")) return;
  const link = here && $("a[data-open]", document.getElementById(here) || document.body);
  if (link) location.href = link.href;
}

function help() { const box = $("#keys"); if (box) box.showModal(); }

// --- Choosing rows ----------------------------------------------------------------------------------------------------

function countChosen() {
  for (const form of $$("form[data-choosing]")) {
    const ticks = $$(`input[type=checkbox][form="${form.id}"]:not([data-all])`);
    const chosen = ticks.filter((tick) => tick.checked);
    ticks.forEach((tick) => tick.closest("tr")?.classList.toggle("chosen", tick.checked));
    for (const mark of $$("[data-chosen]", form)) mark.textContent = chosen.length ? `${chosen.length} chosen` : "none chosen";
    for (const button of $$("button[data-needs-choice]", form)) button.disabled = !chosen.length;
    const all = $(`input[data-all][form="${form.id}"]`);
    if (all) { all.checked = chosen.length > 0 && chosen.length === ticks.length; all.indeterminate = chosen.length > 0 && !all.checked; }
  }
}

// --- Dialogs ----------------------------------------------------------------------------------------------------------
// form[data-confirm] asks first and takes a reason along; a[data-dialog] shows the sheet of another page in a dialog.

let asked = null;

function confirmFirst(event) {
  const form = event.target.closest("form[data-confirm]");
  const dialog = $("#confirm");
  if (!form || !dialog || form.dataset.sure) return busy(event.target);
  event.preventDefault();
  asked = { form, submitter: event.submitter };
  $("h2", dialog).textContent = form.dataset.confirm;
  const told = $(".told", dialog);
  told.textContent = form.dataset.told || "";
  told.hidden = !form.dataset.told;
  const why = $(".field", dialog);
  why.hidden = form.dataset.why === undefined;
  $("textarea", dialog).value = "";
  const yes = $("button.main", dialog);
  yes.textContent = form.dataset.yes || "Yes, do it";
  yes.classList.toggle("danger", form.dataset.danger !== undefined);
  dialog.showModal();
  (why.hidden ? yes : $("textarea", dialog)).focus();
  return undefined;
}

function confirmed(event) {
  event.preventDefault();
  $("#confirm").close();
  if (!asked) return;
  const { form, submitter } = asked;
  asked = null;
  let why = $("input[name=why]", form);
  if (!why) { why = document.createElement("input"); why.type = "hidden"; why.name = "why"; form.append(why); }
  why.value = $("#confirm textarea").value;
  form.dataset.sure = "1";
  form.requestSubmit(submitter || undefined);
}

function busy(form) {
  if (form.method === "post") setTimeout(() => $$("button", form).forEach((button) => { button.setAttribute("aria-busy", "true"); button.disabled = true; }));
}

async function showSheet(link) {
  const answer = await fetch(link.href, { credentials: "same-origin" });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const sheet = $(".sheet", page);
  if (!answer.ok || !sheet) { location.href = link.href; return; }
  const dialog = $("#sheet");
  dialog.replaceChildren(document.adoptNode(sheet));
  dialog.setAttribute("aria-label", $("h1, h2", sheet)?.textContent || "Dialog");
  dialog.showModal();
}

// --- Small things -----------------------------------------------------------------------------------------------------

async function copy(button) {
  const from = button.dataset.copy.startsWith("#") ? $(button.dataset.copy).textContent : button.dataset.copy;
  try { await navigator.clipboard.writeText(from); toast("Copied"); } catch { toast("The browser does not let me copy"); }
}

function toast(text) {
  const box = $("#toast");
  box.textContent = text;
  box.hidden = false;
  setTimeout(() => { box.hidden = true; }, 1600);
}

function switchTheme() {
  const next = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try { localStorage.setItem("callboard-theme", next); } catch { /* it holds for this page */ }
  drawCharts();
}

function clicked(event) {
  const target = event.target.closest("button, a, input[data-all]");
  if (!target) return;
  if (target.dataset.copy) copy(target);
  else if (target.matches("[data-theme-switch]")) switchTheme();
  else if (target.matches("[data-help]")) help();
  else if (target.matches("[data-close]") && target.closest("dialog")) { event.preventDefault(); target.closest("dialog").close(); }
  else if (target.dataset.all !== undefined) {
    for (const tick of $$(`input[type=checkbox][form="${target.getAttribute("form")}"]:not([data-all])`)) tick.checked = target.checked;
    countChosen();
  } else if (target.matches("a[data-dialog]") && !event.ctrlKey && !event.metaKey) { event.preventDefault(); showSheet(target); }
}

function poll() {
  if (document.hidden) return;
  const fast = $("[data-poll]");
  if (fast) replaceParts((part) => part.dataset.poll !== undefined).catch(() => tell("stale"));
  const retry = $("[data-retry]");
  if (retry) fetch(location.href, { credentials: "same-origin" }).then((answer) => { if (answer.ok) location.reload(); }).catch(() => undefined);
}

document.addEventListener("keydown", pressed);
document.addEventListener("click", clicked);
document.addEventListener("submit", (event) => { if (event.target.id === "confirm-form") confirmed(event); else confirmFirst(event); });
document.addEventListener("change", (event) => { if (event.target.matches("input[type=checkbox]")) countChosen(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden && live.wanted.size) want([]); });
document.addEventListener("DOMContentLoaded", () => {
  dress();
  listen();
  setInterval(tickTimes, 1000);
  setInterval(poll, 1500);
  setInterval(() => { if (live.source && live.source.readyState === EventSource.OPEN && !document.hidden) want(topics()); }, SLOW_POLL_MS);
  let resizing = 0;
  addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(drawCharts, 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawCharts);
  addEventListener("pagehide", () => live.source?.close());
});
