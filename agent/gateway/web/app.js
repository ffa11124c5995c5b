// The page of tierd's gateway. It draws the snapshots that /page/events sends and changes nothing.
//
// Names and reasons are foreign text: they go into the document by textContent alone, into elements that are copies of
// the templates in index.html.

const $ = (id) => document.getElementById(id);
const part = (el, name) => el.querySelector("." + name);

// Writing the same text again would make screen readers say it again.
function say(el, text) {
  if (el.textContent !== text) el.textContent = text;
}

function sayOrHide(el, text) {
  say(el, text ?? "");
  el.hidden = !text;
}

// sync brings a list's elements in line with items. Elements that stay are kept, so that the reader's place is, too. Of several
// with one key only the first is.
function sync(list, template, items, key, fill) {
  const old = new Map();
  for (const el of [...list.children]) {
    if (old.has(el.dataset.key)) el.remove();
    else old.set(el.dataset.key, el);
  }
  items.forEach((item, i) => {
    const name = String(key(item, i));
    const el = old.get(name) ?? $(template).content.firstElementChild.cloneNode(true);
    old.delete(name);
    el.dataset.key = name;
    if (list.children[i] !== el) list.insertBefore(el, list.children[i] ?? null);
    fill(el, item, i);
  });
  for (const el of old.values()) el.remove();
}

// Words for figures, as tierctl writes them.

function size(bytes) {
  for (const [unit, name] of [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]]) {
    if (bytes >= unit) return `${Number((bytes / unit).toFixed(bytes >= 100 * unit ? 0 : 1))} ${name}`;
  }
  return `${bytes} B`;
}

function age(from) {
  const s = Math.max(0, Math.floor((now() - Date.parse(from)) / 1000));
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m ${s % 60}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}h ${Math.floor(s / 60) % 60}m`;
  return `${Math.floor(s / 86400)}d ${Math.floor(s / 3600) % 24}h`;
}

const tokens = (n) => (n % 1024 ? `${n}` : `${n / 1024}K`) + " tokens";
const count = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
const clock = (date) => date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

// The gateway's clock counts: this browser's may be another machine's.
let ahead = 0;
const now = () => Date.now() + ahead;

// Drawing.

const shades = 8; // of tiers, in style.css
let shown = null; // the snapshot on the page
let lost = null; // since when the stream is broken

function draw() {
  if (!shown) {
    if (lost) say($("summary"), "The gateway does not say what there is: it may be ending, or as many pages as may look at it do so already.");
    return;
  }
  const tiers = shown.tiers;
  const shadeOf = (name) => tiers.findIndex((t) => t.name === name) % shades;
  drawSummary(tiers);
  drawNotices();
  $("no-tiers").hidden = tiers.length > 0;
  sync($("tiers"), "tier", tiers, (t) => t.name, drawTier);
  drawBudget(shown.budget, shadeOf);
  $("queue").parentElement.hidden = tiers.length === 0;
  sync($("queue"), "row", tiers, (t) => t.name, drawQueue);
  const events = shown.events.toReversed();
  $("no-events").hidden = events.length > 0;
  $("events").hidden = events.length === 0;
  sync($("events"), "event", events, (e) => e.time + e.seq, drawEvent);
}

function drawSummary(tiers) {
  const sum = (name) => tiers.reduce((n, t) => n + t[name], 0);
  const ready = tiers.filter((t) => t.state === "ready").length;
  let text = `${ready} of ${count(tiers.length, "tier")} ready, ${count(sum("in_flight"), "request")} in flight`;
  if (sum("waiting")) text += `, ${sum("waiting")} waiting`;
  say($("summary"), text);
  document.title = `${ready}/${tiers.length} ready - tierd`;
  say($("version"), shown.tierd.version ? `tierd ${shown.tierd.version}` : "");
}

function drawNotices() {
  const notices = [];
  if (lost) {
    notices.push(`The connection to the gateway broke at ${clock(lost)}. What you see is of then; this page connects again by itself.`);
  }
  if (shown.tierd.state === "away") {
    const heard = shown.tierd.heard ? ` What it said last, memory included, is of ${clock(new Date(shown.tierd.heard))}.` : "";
    notices.push(`tierd does not answer: ${shown.tierd.error}. The tiers are as the gateway knew them last, and go on serving.${heard}`);
  }
  sync($("notices"), "notice", notices.concat(shown.warnings), (text) => text, say);
}

function drawTier(el, t, i) {
  el.dataset.state = t.state;
  el.dataset.shade = i % shades;
  say(el.querySelector("h3"), t.name);
  say(part(el, "state"), t.state);
  say(part(el, "model"), t.model);
  part(el, "abroad").hidden = !t.leaves_machine;
  drawLoad(el, t);
  sayOrHide(part(el, "reason"), t.reason);
  say(part(el, "role"), t.role || "none");
  say(part(el, "port"), String(t.port || "none"));
  say(part(el, "engine"), t.engine || "not known");
  say(part(el, "variant"), t.variant || "not known");
  say(part(el, "context"), t.context ? tokens(t.context) : "not known");
  say(part(el, "memory"), t.memory ? size(t.memory) : t.leaves_machine ? "none here" : "not known");
  say(part(el, "work"), work(t));
  sync(part(el, "notes"), "note", t.notes ?? [], (text) => text, say);
}

// What a tier that is under way is doing, and how far it is. A bar without a figure says that there is none.
function drawLoad(el, t) {
  const moving = ["starting", "draining", "stopping"].includes(t.state);
  part(el, "load").hidden = !moving && !t.status;
  const bar = el.querySelector("progress");
  bar.hidden = !moving;
  if (t.percent === undefined) bar.removeAttribute("value");
  else bar.value = t.percent;
  bar.ariaLabel = `${t.name}: ${t.state}`;
  let words = t.status ?? "";
  if (!words && t.state === "draining") words = t.in_flight ? `Finishing ${count(t.in_flight, "request")}` : "Finishing";
  if (t.ready_by) {
    const left = Math.round((Date.parse(t.ready_by) - now()) / 1000);
    words += left > 0 ? `, ready in about ${left}s` : ", ready any moment";
  }
  say(part(el, "status"), words);
}

function work(t) {
  const words = [];
  if (t.in_flight) words.push(`${t.in_flight} in flight`);
  if (t.waiting) words.push(`${t.waiting} waiting`);
  if (!words.length && t.state === "ready") words.push(t.idle_since ? `idle for ${age(t.idle_since)}` : "idle");
  if (t.since) words.push(`${t.state} for ${age(t.since)}`);
  return words.join(", ");
}

function drawQueue(el, t) {
  const [flight, waiting, longest] = el.querySelectorAll("td");
  say(el.querySelector("th"), t.name);
  say(flight, t.concurrency ? `${t.in_flight} of ${t.concurrency}` : String(t.in_flight));
  say(waiting, String(t.waiting));
  say(longest, t.waiting_since ? age(t.waiting_since) : "-");
}

const partNames = { reserve: "reserve", others: "other programs", leaked: "leaked", left: "left" };

function drawBudget(budget, shadeOf) {
  $("no-budget").hidden = Boolean(budget);
  say($("no-budget"), shown.tierd.state === "there" ? "tierd cannot tell." : "Not known yet.");
  sync($("bars"), "bar", budget?.bars ?? [], (b) => b.name, (el, b) => drawBar(el, b, shadeOf));
  let free = "";
  if (budget?.free !== undefined) {
    free = `Now ${size(budget.free)} of RAM is free`;
    if (budget.pending) free += `, of which tiers may still take ${size(budget.pending)} that they were promised`;
    free += `; ${size(budget.keep_free)} has to stay free after a load.`;
  }
  sayOrHide($("free"), free);
  sayOrHide($("misfit"), budget?.words);
}

function drawBar(el, b, shadeOf) {
  const name = (p) => p.tier ?? partNames[p.kind];
  const look = (mark, p) => {
    mark.dataset.kind = p.kind;
    if (p.tier) mark.dataset.shade = shadeOf(p.tier);
    mark.dataset.phase = p.phase ?? "";
  };
  const of = b.size === undefined ? "its size is not known" : size(b.size);
  say(el.querySelector("h3"), `${b.name}, ${of}`);
  const scale = part(el, "scale");
  scale.ariaLabel = `${b.name}, ${of}: ` + b.parts.map((p) => `${name(p)} ${size(p.bytes)}`).join(", ");
  const key = (p) => p.kind + (p.unit ?? "");
  sync(part(el, "track"), "part", b.parts, key, (mark, p) => {
    look(mark, p);
    mark.style.flexGrow = p.bytes / 2 ** 20;
    mark.title = `${name(p)} ${size(p.bytes)}`;
  });
  // Beyond the stroke is what does not fit.
  scale.classList.toggle("over", Boolean(b.over));
  if (b.over) scale.style.setProperty("--limit", `${(100 * b.size) / (b.size + b.over)}%`);
  sync(part(el, "legend"), "entry", b.parts, key, (entry, p) => {
    look(part(entry, "swatch"), p);
    say(part(entry, "who"), p.phase && p.phase !== "ready" ? `${name(p)} (${p.phase})` : name(p));
    say(part(entry, "size"), size(p.bytes));
  });
  sayOrHide(part(el, "bad"), b.broken || (b.over ? `${size(b.over)} more than there is` : ""));
}

function drawEvent(el, e) {
  const at = el.querySelector("time");
  const date = new Date(e.time);
  at.dateTime = e.time;
  at.title = date.toLocaleString();
  say(at, clock(date));
  sayOrHide(part(el, "about"), e.tier ?? e.kind);
  say(part(el, "text"), e.text);
}

// Only what one would want to be interrupted for is said aloud: a tier that came into another state.
function announce(before, after) {
  const was = new Map(before?.tiers.map((t) => [t.name, t.state]));
  const news = after.tiers.filter((t) => was.has(t.name) && was.get(t.name) !== t.state);
  if (news.length) say($("said"), news.map((t) => `${t.name} is ${t.state}`).join(", "));
}

// The stream. An EventSource gives up for good on some failures, so each attempt gets a new one.

const silence = 40_000; // two beats of the gateway, and some more
const firstPause = 300;
const lastPause = 5_000;
let source = null;
let pause = firstPause;
let retry = 0;
let watchdog = 0;

function connect() {
  clearTimeout(retry);
  source?.close();
  source = new EventSource("/page/events");
  source.onmessage = (message) => receive(JSON.parse(message.data));
  source.addEventListener("beat", alive);
  source.onerror = broken;
  alive();
}

function alive() {
  clearTimeout(watchdog);
  watchdog = setTimeout(broken, silence);
}

function receive(frame) {
  alive();
  // An upgrade brings a page of its own.
  if (shown && shown.build !== frame.page.build) return location.reload();
  ahead = Date.parse(frame.now) - Date.now();
  announce(shown, frame.page);
  if (lost) say($("said"), "connected again");
  lost = null;
  pause = firstPause;
  shown = frame.page;
  link("live");
  draw();
}

function broken() {
  source.close();
  clearTimeout(watchdog);
  retry = setTimeout(connect, pause);
  pause = Math.min(2 * pause, lastPause);
  if (!lost) {
    lost = new Date();
    say($("said"), "connection lost");
  }
  link("lost");
  draw();
}

function link(state) {
  $("link").dataset.link = state;
  document.body.dataset.link = state;
  say($("link"), { live: "live", lost: "not connected", resting: "resting" }[state]);
}

// A page that nobody sees asks for nothing, so that neither the gateway nor tierd is kept awake.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) return connect();
  source?.close();
  clearTimeout(retry);
  clearTimeout(watchdog);
  link("resting");
});

setInterval(() => !document.hidden && draw(), 1000); // ages

if (!document.hidden) connect();
