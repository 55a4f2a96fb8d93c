"use strict";
// The operator's page. All text is set as text, never as HTML; the content security policy forbids the other.

const POLL_MS = 1000;
const MOST_ROWS = 5000;
const ROW = 28;
const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);

let token = "";
let rows = []; // the newest first
let running = []; // those under way, the oldest first
let last = 0;
let began = null;
let state = null;
let timer = null;
let paused = false;
let shown = []; // rows after the filters
let selected = null;
const filters = { text: "", frontend: "", backend: "", client: "", kind: "" };

// ---- making elements ------------------------------------------------------------------------------------------------

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) node.append(child);
  }
  return node;
}
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

const none = "–";
const count = (n) => (n === null || n === undefined ? none : n.toLocaleString("en"));
const money = (n) => (n === null || n === undefined ? none : n === 0 ? "$0" : n < 0.01 ? `$${n.toFixed(9).replace(/(\.0*[1-9]\d?)\d*$/, "$1").replace(/0+$/, "")}` : `$${n.toFixed(2)}`);
const milliseconds = (n) => (n === null || n === undefined ? none : n < 1000 ? `${n < 10 ? n.toFixed(1) : Math.round(n)} ms` : `${(n / 1000).toFixed(2)} s`);
const clock = (at) => new Date(at * 1000).toTimeString().slice(0, 8);
const look = (row) => (row.outcome === "answered" ? "good" : row.outcome === "aborted" ? "warn" : "bad");

// ---- talking to the proxy -------------------------------------------------------------------------------------------

async function call(path, options = {}) {
  const answer = await fetch(`/ui/${path}`, { credentials: "same-origin", ...options });
  const found = await answer.json().catch(() => ({ error: `status ${answer.status}` }));
  if (answer.status === 401 && path !== "login") showLogin();
  if (!answer.ok) throw new Error(found.error || `status ${answer.status}`);
  return found;
}
const act = (path) => call(path, { method: "POST", headers: { "x-crosswire-page": token } });

function showLogin() {
  clearTimeout(timer);
  rows = [];
  running = [];
  last = 0;
  $("app").hidden = true;
  $("login").hidden = false;
  $("key").focus();
}

async function start(found) {
  token = found.token;
  $("login").hidden = true;
  $("app").hidden = false;
  await poll();
  route();
}

$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("login-error").textContent = "";
  const body = JSON.stringify({ key: $("key").value });
  try {
    const found = await call("login", { method: "POST", headers: { "content-type": "application/json" }, body });
    $("key").value = "";
    await start(found);
  } catch (fault) {
    $("login-error").textContent = fault.message;
  }
});
$("logout").addEventListener("click", async () => {
  await act("logout").catch(() => {});
  showLogin();
});

async function poll() {
  clearTimeout(timer);
  try {
    const found = await call(`api/requests?after=${last}`);
    if (began !== null && found.state.began !== began) {
      began = null; // the proxy was started anew, and counts from 1
      last = 0;
      rows = [];
      return await poll();
    }
    began = found.state.began;
    state = found.state;
    last = found.last;
    running = found.running;
    rows = found.rows.concat(rows).slice(0, MOST_ROWS);
    if (!paused && place() === "requests") {
      if (found.rows.length) redrawRows();
      else drawRunning();
    }
    const kept = state.bodies ? "bodies are kept" : "bodies are not kept";
    $("state").textContent = `${count(state.in_flight)} under way · ${count(rows.length)} seen · ${kept}`;
    $("notice").hidden = !state.complaints.length;
    $("notice").textContent = state.complaints.join("; ");
  } catch (fault) {
    if ($("app").hidden) return;
    $("state").textContent = `the proxy does not answer: ${fault.message}`;
  }
  timer = setTimeout(poll, POLL_MS);
}

// ---- views ----------------------------------------------------------------------------------------------------------

const place = () => location.hash.slice(1).split("/")[0] || "requests";

async function route() {
  if ($("app").hidden) return;
  const [name, id] = location.hash.slice(1).split("/");
  const view = VIEWS[name] ? name : "requests";
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  try {
    const made = id && view === "requests" ? await showRequest(decodeURIComponent(id)) : await VIEWS[view]();
    $("view").replaceChildren(...[made].flat());
    $("view").focus({ preventScroll: true });
    if (view === "requests" && !id) redrawRows();
    window.scrollTo(0, 0);
  } catch (fault) {
    $("view").replaceChildren(el("p", { class: "error" }, fault.message), el("p", {}, el("a", { href: "#requests" }, "All requests")));
  }
}
window.addEventListener("hashchange", route);

// ---- the list of requests: only the rows in sight are in the document ----------------------------------------------

const COLUMNS = [
  ["time", (row) => clock(row.at)],
  ["status", (row) => el("span", { class: look(row) }, row.outcome === "answered" ? String(row.status) : `${row.status ?? ""} ${row.outcome}`)],
  ["client", (row) => row.client ?? none],
  ["asked by", (row) => row.frontend + (row.what === "chat" ? "" : ` ${row.what}`)],
  ["model", (row) => row.model ?? none],
  ["backend", (row) => row.backend ?? none],
  ["tries", (row) => count(row.attempts), true],
  ["losses", (row) => (row.losses.length ? el("span", { class: "warn" }, row.losses.join(", ")) : none)],
  ["in", (row) => count(row.input), true],
  ["out", (row) => count(row.output), true],
  ["cost", (row) => money(row.cost), true],
  ["first", (row) => milliseconds(row.first_ms), true],
  ["time taken", (row) => milliseconds(row.ms), true],
];

const RUNNING = [
  ["since", (row) => clock(row.at)],
  ["age", (row) => milliseconds(row.ms)],
  ["how far", (row) => (row.stage === "is called" ? `${row.backend} is called` : row.stage === "streams" ? `${row.backend} streams` : row.stage)],
  ["client", (row) => row.client ?? none],
  ["asked by", (row) => row.frontend + (row.what === "chat" ? "" : ` ${row.what}`)],
  ["model", (row) => row.model ?? none],
  ["model there", (row) => row.model_used ?? none],
  ["tries", (row) => count(row.attempts)],
];

function matches(row) {
  if (filters.frontend && row.frontend !== filters.frontend) return false;
  if (filters.backend && (row.backend ?? "") !== filters.backend) return false;
  if (filters.client && (row.client ?? "") !== filters.client) return false;
  if (filters.kind === "failed" && row.outcome === "answered") return false;
  if (filters.kind === "lossy" && !row.losses.length) return false;
  if (filters.kind === "retried" && row.attempts < 2) return false;
  if (!filters.text) return true;
  const all = [row.id, row.client, row.frontend, row.what, row.model, row.backend, row.model_used, row.outcome, row.status, ...row.losses];
  const text = all.join(" ").toLowerCase();
  return filters.text.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function choice(name, label) {
  const node = el("select", { "aria-label": label, id: `filter-${name}`, onchange: (event) => { filters[name] = event.target.value; redrawRows(); } });
  return node;
}

function refill(name, label) {
  const node = $(`filter-${name}`);
  const values = [...new Set(rows.map((row) => row[name]).filter(Boolean))].sort();
  if (!node || node.dataset.values === values.join("\n")) return;
  node.dataset.values = values.join("\n");
  node.replaceChildren(el("option", { value: "" }, label), ...values.map((value) => el("option", { value, selected: value === filters[name] }, value)));
}

function listRequests() {
  const search = el("input", { type: "search", id: "search", placeholder: "Filter: words that must all appear (/)", "aria-label": "Filter", oninput: (event) => { filters.text = event.target.value; redrawRows(); } });
  search.value = filters.text;
  const kinds = choice("kind", "Kind");
  kinds.append(...[["", "all"], ["failed", "failed"], ["lossy", "with losses"], ["retried", "tried more than once"]].map(([value, text]) => el("option", { value, selected: value === filters.kind }, text)));
  const pause = el("button", { type: "button", id: "pause", "aria-pressed": String(paused), onclick: togglePause }, paused ? "Go on" : "Pause");
  const head = el("tr", {}, COLUMNS.map(([name, , isNumber]) => el("th", { class: isNumber && "number", scope: "col" }, name)));
  const table = el("table", { "aria-label": "Requests" }, el("thead", {}, head), el("tbody", { id: "rows" }));
  const scroll = el("div", { class: "scroll", id: "scroll", tabindex: "0", role: "region", "aria-label": "Requests, newest first" }, table);
  let due = false;
  scroll.addEventListener("scroll", () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => { due = false; drawRows(); });
  });
  return [
    el("div", { class: "bar" }, search, kinds, choice("frontend", "Protocol"), choice("backend", "Backend"), choice("client", "Client"), pause, el("span", { id: "number", class: "faint" })),
    el("div", { id: "running", role: "region", "aria-label": "Under way, oldest first" }),
    scroll,
    el("p", { class: "faint" }, "Keys: ↑ ↓ or j k select, Enter opens, Esc goes back, / filters, p pauses, t changes the theme, 1 to 4 change the view."),
  ];
}

function togglePause() {
  paused = !paused;
  const button = $("pause");
  button.textContent = paused ? "Go on" : "Pause";
  button.setAttribute("aria-pressed", String(paused));
  if (!paused) redrawRows();
}

function redrawRows() {
  if (!$("rows")) return;
  refill("frontend", "any protocol");
  refill("backend", "any backend");
  refill("client", "any client");
  shown = rows.filter(matches);
  drawRunning();
  $("number").textContent = shown.length === rows.length ? `${count(rows.length)} requests` : `${count(shown.length)} of ${count(rows.length)} requests`;
  drawRows();
}

function drawRunning() {
  const node = $("running");
  if (!node) return;
  const lines = filters.kind ? [] : running.filter(matches).map((row) => RUNNING.map(([, show]) => show(row)));
  node.replaceChildren(...(lines.length ? [table(RUNNING.map(([name]) => name), lines, "Under way")] : []));
}

function drawRows() {
  const scroll = $("scroll");
  if (!scroll) return;
  const first = Math.max(0, Math.floor(scroll.scrollTop / ROW) - 10);
  const end = Math.min(shown.length, first + Math.ceil(scroll.clientHeight / ROW) + 20);
  const gap = (number) => number > 0 && el("tr", { class: "gap", "aria-hidden": "true" }, fill(document.createElement("td"), { colspan: COLUMNS.length, height: number * ROW }, []));
  const made = shown.slice(first, end).map((row) =>
    el("tr", { "data-id": row.id, class: row.id === selected && "selected", onclick: () => open(row.id) },
      COLUMNS.map(([, show, isNumber], at) => el("td", { class: isNumber && "number" }, at ? show(row) : el("a", { href: `#requests/${encodeURIComponent(row.id)}`, tabindex: "-1" }, show(row))))));
  const empty = !shown.length && el("tr", { class: "gap" }, el("td", { colspan: COLUMNS.length }, el("p", { class: "faint" }, rows.length ? "No request fits the filters." : "No request yet.")));
  $("rows").replaceChildren(...[gap(first), ...made, gap(shown.length - end), empty].filter(Boolean));
}

const open = (id) => { selected = id; location.hash = `#requests/${encodeURIComponent(id)}`; };

function select(step) {
  if (!shown.length) return;
  const at = shown.findIndex((row) => row.id === selected);
  const next = Math.min(shown.length - 1, Math.max(0, at < 0 ? 0 : at + step));
  selected = shown[next].id;
  const scroll = $("scroll");
  const top = next * ROW;
  if (top < scroll.scrollTop) scroll.scrollTop = top;
  else if (top + 3 * ROW > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = top + 3 * ROW - scroll.clientHeight;
  drawRows();
}

// ---- one request ----------------------------------------------------------------------------------------------------

const list = (pairs) => el("dl", {}, pairs.filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
const table = (heads, lines, name) =>
  el("div", { class: "panel" }, el("table", { "aria-label": name },
    el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", {}, lines.map((line) => el("tr", {}, line.map((cell) => el("td", { class: typeof cell === "string" && cell.length > 40 ? "wide" : null }, cell)))))));

async function showRequest(id) {
  const { record, cost, wires, no_wires } = await call(`api/requests/${encodeURIComponent(id)}`);
  const decision = record.decision;
  const usage = record.usage || {};
  const result = el("div", { id: "result", "aria-live": "polite" });
  const run = async (what, show) => {
    try {
      result.replaceChildren(...[show(await act(`api/requests/${encodeURIComponent(record.request_id)}/${what}`))].flat());
    } catch (fault) {
      result.replaceChildren(el("p", { class: "error" }, fault.message));
    }
  };
  return [
    el("div", { class: "bar" },
      el("a", { href: "#requests" }, "← All requests"), el("code", {}, record.request_id), el("span", { class: look(record) }, `${record.status ?? ""} ${record.outcome}`),
      el("button", { type: "button", id: "explain", onclick: () => run("explain", showExplained) }, "Explain this request again"),
      el("button", { type: "button", id: "story", onclick: () => run("story", showStory) }, "Make it a story")),
    result,
    el("div", { class: "pair" },
      el("section", {}, el("h2", {}, "Request"), el("div", { class: "panel" }, list([
        ["came", new Date(record.at * 1000).toISOString()], ["client", record.client], ["protocol", record.frontend], ["what", record.what],
        ["model", record.model], ["streamed", record.stream ? "yes" : "no"], ["answered by", record.backend_used && `${record.backend_used} (${record.model_used})`],
        ["first content", record.ttft_ms === null ? null : milliseconds(record.ttft_ms)], ["time taken", milliseconds(record.total_ms)],
        ["error", record.error && el("span", { class: "bad" }, `${record.error.kind}: ${record.error.message}`)],
        ["repaired", record.repaired.length ? record.repaired.join(", ") : null],
      ]))),
      el("section", {}, el("h2", {}, "Usage and cost"), el("div", { class: "panel" }, list([
        ["input", count(usage.input)], ["cache read", count(usage.cache_read)], ["cache write", count(usage.cache_write)],
        ["output", count(usage.output)], ["of it reasoning", count(usage.reasoning)], ["cost", money(cost)],
      ])))),
    el("h2", {}, "Time line"), el("div", { class: "panel", id: "timeline" }, timeLine(record)),
    el("h2", {}, "Decision"), decision ? [el("p", { id: "because" }, `${decision.mode}: ${decision.because}`), showConsidered(decision)] : el("p", { class: "faint" }, "None was made."),
    el("h2", {}, "Losses"), record.losses.length ? table(["loss", "where", "how"], record.losses.map((loss) => [loss.feature, loss.path, loss.how]), "Losses") : el("p", { class: "faint" }, "Nothing was lost."),
    record.added && [el("h2", {}, "Added"), table(["where", "value", "why"], record.added.map((each) => [each.path, String(each.value), each.why]), "Added")],
    el("h2", {}, "Wires"), wires ? showWires(wires) : el("p", { class: "faint", id: "no-wires" }, no_wires),
  ].flat(Infinity).filter(Boolean);
}

const showConsidered = (decision) => table(["", "backend", "model", "why"],
  decision.considered.map((each) => [el("span", { class: each.taken ? "good" : "bad" }, each.taken ? "✓ taken" : "✗ left out"), each.backend, each.model ?? none, el("span", {}, each.why)]), "Candidates");

function showExplained(found) {
  const chosen = found.chosen ? `${found.chosen.backend} (${found.chosen.model})` : `refused: ${found.refusal.message}`;
  const was = found.was ? `${found.was.backend} (${found.was.model})` : "nobody";
  const lines = [`Now: ${chosen}. ${found.is_same ? "The same as then." : `Then: ${was}.`}`, `${found.mode}: ${found.because}`];
  if (found.by_model_alone) lines.push("Only the model is known of this request, so what it needs is not looked at.");
  return [el("h2", {}, "Explained again"), el("div", { class: "panel", id: "explained" }, lines.map((line) => el("p", {}, line))), showConsidered(found)];
}

function showStory(found) {
  const text = el("pre", { id: "story-text", tabindex: "0" }, found.story);
  const copy = el("button", { type: "button", onclick: async () => { await navigator.clipboard.writeText(found.story); copy.textContent = "Copied"; } }, "Copy");
  return [el("h2", {}, "As a story, with its texts replaced"), el("div", { class: "panel" }, el("div", { class: "bar" }, copy), text)];
}

function timeLine(record) {
  const total = Math.max(record.total_ms || 0, 0.001);
  const left = 190, width = 900, right = 90;
  const x = (ms) => left + (Math.min(ms, total) / total) * (width - left - right);
  let end = 0;
  const bars = [];
  for (const stage of record.stages) {
    bars.push({ name: stage.stage, from: end, to: end + stage.ms, look: "fill-stage", end: milliseconds(stage.ms) });
    end += stage.ms;
  }
  record.attempts.forEach((attempt, at) => bars.push({
    name: `${at + 1}. ${attempt.backend}`, from: attempt.began_ms, to: attempt.began_ms + attempt.ms,
    look: attempt.outcome === "answered" ? "fill-good" : "fill-bad", end: milliseconds(attempt.ms), title: `${attempt.backend} (${attempt.model}): ${attempt.outcome}`,
  }));
  const height = bars.length * 24 + 26;
  const first = record.ttft_ms;
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Stages and attempts over time" },
    bars.map((bar, at) => svg("g", {},
      svg("title", {}, bar.title || bar.name),
      svg("text", { x: left - 8, y: at * 24 + 16, "text-anchor": "end" }, bar.name.length > 26 ? `${bar.name.slice(0, 25)}…` : bar.name),
      svg("rect", { x: x(bar.from), y: at * 24 + 4, width: Math.max(1.5, x(bar.to) - x(bar.from)), height: 16, rx: 2, class: bar.look }),
      svg("text", { x: x(bar.to) + 5, y: at * 24 + 16, class: "faint" }, bar.title && !bar.title.endsWith("answered") ? `${bar.end} ${bar.title.split(": ").pop()}` : bar.end))),
    first !== null && [svg("line", { x1: x(first), x2: x(first), y1: 0, y2: height - 22 }), svg("text", { x: x(first), y: height - 6, "text-anchor": "middle", class: "faint" }, `first content ${milliseconds(first)}`)],
    svg("text", { x: left, y: height - 6, class: "faint" }, first !== null && x(first) < left + 80 ? "" : "0"),
    svg("text", { x: x(total), y: height - 6, "text-anchor": "end", class: "faint" }, milliseconds(total)));
}

// ---- the four wires -------------------------------------------------------------------------------------------------

const MOST_LINES = 3000;

function documents(body) {
  try { return [["", JSON.parse(body)]]; } catch { /* a stream, or no JSON */ }
  return body.split(/\r?\n/).filter((line) => line.trim()).map((line) => {
    const [, head, rest] = line.match(/^(data: ?)?(.*)$/);
    try { return [head || "", JSON.parse(rest)]; } catch { return [null, line]; }
  });
}

/** The lines of a body as pretty JSON: each a text, and of a leaf its key and value. */
function linesOf(body) {
  const lines = [];
  const write = (value, indent, before, key, after) => {
    if (value !== null && typeof value === "object" && Object.keys(value).length) {
      const isList = Array.isArray(value);
      lines.push({ text: `${indent}${before}${isList ? "[" : "{"}` });
      const entries = Object.entries(value);
      entries.forEach(([name, inner], at) => write(inner, `${indent}  `, isList ? "" : `${JSON.stringify(name)}: `, isList ? key : name, at < entries.length - 1 ? "," : ""));
      lines.push({ text: `${indent}${isList ? "]" : "}"}${after}` });
    } else {
      lines.push({ text: `${indent}${before}${JSON.stringify(value)}${after}`, key, value: JSON.stringify(value) });
    }
  };
  for (const [head, value] of documents(body)) {
    if (head === null) lines.push({ text: value, key: "", value });
    else write(value, "", head, "", "");
  }
  return lines;
}

const SMALL = new Set(["true", "false", "null", '""', "0", "1", "[]", "{}"]);

function wire(title, it, other) {
  const section = el("section", { "aria-label": title }, el("h3", {}, title));
  if (!it) return fill(section, {}, [el("pre", { class: "faint" }, "nothing was sent")]);
  const there = new Map();
  for (const line of other ? linesOf(other.body) : []) {
    if (line.value === undefined) continue;
    if (!there.has(line.value)) there.set(line.value, new Set());
    there.get(line.value).add(line.key);
  }
  const lines = linesOf(it.body);
  const draw = (some) => some.map((line) => {
    let look = null;
    if (other && line.value !== undefined) {
      const keys = there.get(line.value);
      if (!keys || (SMALL.has(line.value) && !keys.has(line.key))) look = "only";
      else if (!keys.has(line.key)) look = "moved";
    }
    return look ? el("span", { class: look }, `${line.text}\n`) : `${line.text}\n`;
  });
  const pre = el("pre", { tabindex: "0", class: it.is_failure && "bad" }, draw(lines.slice(0, MOST_LINES)));
  section.append(pre);
  if (lines.length > MOST_LINES) {
    const more = el("button", { type: "button", onclick: () => { pre.append(...draw(lines.slice(MOST_LINES))); more.remove(); } }, `Show ${count(lines.length - MOST_LINES)} more lines`);
    section.append(more);
  }
  if (it.is_cut) section.append(el("p", { class: "warn" }, "Only the beginning is kept."));
  return section;
}

function showWires(wires) {
  const attempts = [...new Set(wires.filter((each) => each.stage.startsWith("backend")).map((each) => each.attempt))];
  const box = el("div", { class: "wires", id: "wires" });
  const draw = (attempt) => {
    const find = (stage, at) => wires.find((each) => each.stage === stage && (at === undefined || each.attempt === at));
    const [asked, sent, got, told] = [find("client_request"), find("backend_request", attempt), find("backend_response", attempt), find("client_response")];
    const name = (sent || got || {}).backend || "backend";
    box.replaceChildren(wire("1. client → proxy", asked, sent), wire(`2. proxy → ${name}`, sent, asked), wire(`3. ${name} → proxy`, got, told), wire("4. proxy → client", told, got));
  };
  draw(attempts[attempts.length - 1]);
  const buttons = attempts.length > 1 && el("div", { class: "bar" }, "Attempt", attempts.map((attempt) => el("button", { type: "button", onclick: () => draw(attempt) }, String(attempt))));
  return [buttons, el("p", {}, el("span", { class: "only" }, "only on this side"), " · ", el("span", { class: "moved" }, "under another name on the other side")), box];
}

// ---- backends -------------------------------------------------------------------------------------------------------

async function showBackends() {
  const { backends, requests } = await call("api/backends");
  const spread = (ms) => (ms ? `${milliseconds(ms.p50)} / ${milliseconds(ms.p90)} / ${milliseconds(ms.p99)}` : none);
  return [
    el("h2", {}, "Backends"), el("p", { class: "faint" }, `Figures of the last ${count(requests)} requests. Percentiles: 50 / 90 / 99.`),
    table(["backend", "protocols", "address", "breaker", "under way", "attempts", "errors", "answer", "first content", "models"], backends.map((each) => [
      each.name, each.protocols.join(", "), each.address || "in this process",
      el("span", { class: each.breaker === "closed" ? "good" : each.breaker === "open" ? "bad" : "warn", title: each.reason }, each.breaker + (each.reason ? `: ${each.reason}` : "")),
      each.max_in_flight ? `${each.busy} of ${each.max_in_flight}` : String(each.busy), count(each.attempts),
      each.error_rate ? el("span", { class: "bad" }, `${(each.error_rate * 100).toFixed(1)} % (${Object.entries(each.errors).map(([kind, n]) => `${kind} ${n}`).join(", ")})`) : each.attempts ? "0 %" : none,
      spread(each.ms), spread(each.first_ms), el("span", { title: each.models.join("\n") }, each.models.slice(0, 3).join(", ") + (each.models.length > 3 ? ` and ${each.models.length - 3} more` : "") || none),
    ]), "Backends"),
  ];
}

// ---- usage ----------------------------------------------------------------------------------------------------------

let days = 7;
let measure = "cost";
const MEASURES = { cost: ["Cost", money], requests: ["Requests", count], tokens: ["Tokens", count] };
const value = (row) => (measure === "tokens" ? row.input + row.output : row[measure]);

async function showUsage() {
  const found = await call(`api/usage?days=${days}`);
  const names = found.by_client.map((row) => row.name);
  const box = el("div", {});
  const draw = () => box.replaceChildren(
    el("div", { class: "pair" },
      el("section", {}, el("h2", {}, `${MEASURES[measure][0]} by client`), el("div", { class: "panel", id: "by-client" }, bars(found.by_client))),
      el("section", {}, el("h2", {}, `${MEASURES[measure][0]} by model`), el("div", { class: "panel", id: "by-model" }, bars(found.by_model)))),
    el("h2", {}, measure === "requests" ? "Requests over time" : "Cost over time"), el("div", { class: "panel", id: "over-time" }, overTime(found, names)),
    el("h2", {}, "Figures"), table(["client", "requests", "failed", "input", "output", "cost"], found.by_client.map((row) => [row.name, count(row.requests), count(row.failed), count(row.input), count(row.output), money(row.cost)]), "By client"),
    ...(found.budgets.length ? [el("h2", {}, "Budgets"), table(["whose", "period", "spent", "of", ""], found.budgets.map((each) => [each.owner, each.period, money(each.spent), money(each.limit), `${each.limit ? Math.round((100 * each.spent) / each.limit) : 100} %`]), "Budgets")] : []));
  draw();
  const pick = (label, options, chosen, change) => el("label", {}, `${label} `, el("select", { onchange: (event) => change(event.target.value) }, options.map(([key, text]) => el("option", { value: key, selected: String(key) === String(chosen) }, text))));
  return [
    el("div", { class: "bar" },
      pick("Show", Object.entries(MEASURES).map(([key, [text]]) => [key, text]), measure, (key) => { measure = key; draw(); }),
      pick("of the last", [[1, "day"], [7, "7 days"], [30, "30 days"], [90, "90 days"]], days, (key) => { days = Number(key); route(); }),
      el("span", { class: "faint" }, found.source === "store" ? "From the ledger of usage in the store." : "From the records in memory; with `usage: true` and a store the ledger keeps more.")),
    box,
  ];
}

function bars(lines) {
  const some = lines.slice(0, 12);
  const most = Math.max(...some.map(value), 1e-12);
  const height = Math.max(some.length * 24, 24);
  if (!some.length) return el("p", { class: "faint" }, "Nothing yet.");
  return svg("svg", { viewBox: `0 0 560 ${height}`, role: "img", "aria-label": MEASURES[measure][0] }, some.map((row, at) => svg("g", {},
    svg("title", {}, `${row.name}: ${MEASURES[measure][1](value(row))}`),
    svg("text", { x: 172, y: at * 24 + 16, "text-anchor": "end" }, row.name.length > 24 ? `${row.name.slice(0, 23)}…` : row.name),
    svg("rect", { x: 180, y: at * 24 + 4, width: Math.max(1, (300 * value(row)) / most), height: 16, rx: 2, class: `c${at % 8}` }),
    svg("text", { x: 186 + Math.max(1, (300 * value(row)) / most), y: at * 24 + 16, class: "faint" }, MEASURES[measure][1](value(row))))));
}

function overTime(found, names) {
  const of = measure === "requests" ? "requests" : "cost";
  const write = of === "cost" ? money : count;
  const times = [...new Set(found.over_time.map((each) => each.at))].sort((a, b) => a - b);
  if (!times.length) return el("p", { class: "faint" }, "Nothing yet.");
  const sums = new Map();
  for (const each of found.over_time) sums.set(each.at, (sums.get(each.at) || 0) + each[of]);
  const most = Math.max(...sums.values(), 1e-12);
  const from = times[0], slots = Math.round((times[times.length - 1] - from) / found.slot_s) + 1;
  const width = 900, left = 70, high = 180, step = Math.min((width - left) / slots, 60);
  const heights = new Map();
  const columns = found.over_time.map((each) => {
    const below = heights.get(each.at) || 0;
    const tall = (each[of] / most) * (high - 20);
    heights.set(each.at, below + tall);
    return svg("rect", { x: left + Math.round((each.at - from) / found.slot_s) * step, y: high - below - tall, width: Math.max(1, step - 2), height: tall, class: `c${Math.max(0, names.indexOf(each.name)) % 8}` },
      svg("title", {}, `${new Date(each.at * 1000).toLocaleString()} ${each.name}: ${write(each[of])}`));
  });
  const when = (at) => (found.slot_s >= 86400 ? new Date(at * 1000).toISOString().slice(0, 10) : new Date(at * 1000).toTimeString().slice(0, 5));
  const end = left + slots * step;
  return [
    svg("svg", { viewBox: `0 0 ${width} ${high + 24}`, role: "img", "aria-label": `${of} over time` },
      [0, 0.5, 1].map((part) => [svg("line", { x1: left, x2: width, y1: high - part * (high - 20), y2: high - part * (high - 20) }), svg("text", { x: left - 8, y: high - part * (high - 20) + 4, "text-anchor": "end", class: "faint" }, write(most * part))]),
      columns, svg("text", { x: left, y: high + 18, class: "faint" }, when(from)), slots > 3 && svg("text", { x: end, y: high + 18, "text-anchor": "end", class: "faint" }, when(times[times.length - 1]))),
    el("ul", { class: "legend" }, names.slice(0, 8).map((name, at) => el("li", {}, svg("svg", { width: 11, height: 11 }, svg("rect", { width: 11, height: 11, rx: 2, class: `c${at}` })), ` ${name}`))),
  ];
}

// ---- config ---------------------------------------------------------------------------------------------------------

async function showConfig() {
  const { losses, seen, warnings, notes, complaints, ...rest } = await call("api/config");
  const said = [...complaints, ...warnings, ...notes];
  return [
    ...(said.length ? [el("h2", {}, "What is to be said of it"), el("div", { class: "panel" }, el("ul", {}, said.map((each) => el("li", {}, each))))] : []),
    el("h2", {}, "Config in force"),
    ...Object.entries(rest).filter(([, part]) => part !== null && (typeof part !== "object" || Object.keys(part).length)).map(([name, part]) =>
      el("details", { open: name === "backends" }, el("summary", {}, name), el("div", { class: "panel" }, el("pre", {}, JSON.stringify(part, null, 2))))),
    el("h2", {}, "Losses in force"),
    table(["loss", "action", "seen", "meaning"], losses.map((each) => [each.feature, each.action === each.default ? each.action : el("span", { class: "warn" }, `${each.action} (default ${each.default})`), seen[each.feature] ? count(seen[each.feature]) : none, each.meaning]), "Losses in force"),
  ];
}

const VIEWS = { requests: listRequests, backends: showBackends, usage: showUsage, config: showConfig };

// ---- keys and theme -------------------------------------------------------------------------------------------------

const THEMES = ["", "light", "dark"];
function changeTheme() {
  const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme || "") + 1) % THEMES.length];
  if (next) document.documentElement.dataset.theme = next;
  else delete document.documentElement.dataset.theme;
  try { localStorage.setItem("crosswire-theme", next); } catch { /* not kept */ }
  $("theme").textContent = next ? `Theme: ${next}` : "Theme";
}
try {
  const kept = localStorage.getItem("crosswire-theme");
  if (kept) document.documentElement.dataset.theme = kept;
} catch { /* as the system */ }
$("theme").addEventListener("click", changeTheme);

document.addEventListener("keydown", (event) => {
  if ($("app").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "Escape") {
    if (isTyping) event.target.blur();
    else if (location.hash.includes("/")) location.hash = "#requests";
    return;
  }
  if (isTyping) return;
  const isList = Boolean($("rows"));
  const key = event.key;
  if (key === "/" && isList) $("search").focus();
  else if (isList && (key === "j" || key === "ArrowDown")) select(1);
  else if (isList && (key === "k" || key === "ArrowUp")) select(-1);
  else if (isList && key === "Enter" && selected && event.target.tagName !== "BUTTON" && event.target.tagName !== "A") open(selected);
  else if (isList && key === "p") togglePause();
  else if (key === "t") changeTheme();
  else if (/^[1-4]$/.test(key)) location.hash = `#${Object.keys(VIEWS)[key - 1]}`;
  else return;
  event.preventDefault();
});

call("api/session").then(start).catch(() => showLogin());
