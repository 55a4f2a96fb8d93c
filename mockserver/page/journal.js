"use strict";
// Everything that a request or a reply holds is set as text, never as HTML.
const entries = new Map();
const rows = new Map();
let next = 0;
let chosen = null;
const at = (id) => document.getElementById(id);

function element(name, text) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  return made;
}

function texts(value) {
  if (typeof value === "string") return [value];
  if (Array.isArray(value)) return value.flatMap(texts);
  if (value && typeof value === "object") return Object.values(value).flatMap(texts);
  return [];
}

// One turn of a conversation: who speaks, and every text in it.
function turn(value) {
  if (!value || typeof value !== "object" || !value.role) return texts(value).join(" · ");
  const { role, ...rest } = value;
  return `${role}: ${texts(rest).join(" · ")}`;
}

// The words of a request: its messages, or whatever else holds the conversation.
function words(entry) {
  const body = entry.body || {};
  const found = body.messages || body.input || body.contents || body.prompt || [];
  return (Array.isArray(found) ? found : [found]).map(turn).join("\n");
}

function shown(entry) {
  if (at("misses").checked && !entry.note) return false;
  const wanted = at("filter").value.toLowerCase();
  const all = [entry.provider, entry.story, entry.path, entry.status, entry.note, words(entry)].join(" ");
  return all.toLowerCase().includes(wanted);
}

function draw(entry) {
  const row = rows.get(entry.seq) || element("tr");
  if (!rows.has(entry.seq)) {
    rows.set(entry.seq, row);
    row.tabIndex = 0;
    row.addEventListener("click", () => choose(entry.seq, true));
    row.addEventListener("keydown", (event) => onKey(event, row, entry.seq));
    at("entries").prepend(row);
  }
  const story = entry.story ? `${entry.story} · ${(entry.step || 0) + 1}` : "";
  const status = `${entry.status ?? "…"} ${entry.fault ? `(${entry.fault})` : ""}`.trim();
  const path = entry.path.replace(/^\/[^/]*/, "") || "/";
  const cells = { number: entry.seq, provider: entry.provider, status, story, path, words: words(entry).slice(0, 160) };
  row.replaceChildren(...Object.entries(cells).map(([kind, text]) => {
    const cell = element("td", String(text));
    cell.className = kind;
    return cell;
  }));
  row.className = entry.note ? "miss" : "";
  row.hidden = !shown(entry);
}

function onKey(event, row, seq) {
  const visible = [...rows.values()].filter((each) => !each.hidden).sort((one, other) =>
    one.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1);
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) visible[visible.indexOf(row) + step]?.focus();
  else if (event.key === "Enter" || event.key === " ") choose(seq, true);
  else return;
  event.preventDefault();
}

// Shows a request; on a narrow page what is shown lies below the list, so it comes into view.
function choose(seq, byHand) {
  chosen = seq;
  for (const [number, row] of rows) row.setAttribute("aria-selected", String(number === seq));
  const entry = entries.get(seq);
  const detail = at("detail");
  const back = element("button", "Back to the list");
  back.id = "back";
  back.type = "button";
  back.addEventListener("click", () => { rows.get(seq)?.focus(); rows.get(seq)?.scrollIntoView({ block: "center" }); });
  detail.replaceChildren(element("h2", `${entry.method} ${entry.path}`), back);
  const add = (title, text) => { if (text) detail.append(element("h2", title), element("pre", text)); };
  add(entry.story ? "why it was refused" : "why no story", entry.note);
  add("request, as text", words(entry));
  add("request", entry.body ? JSON.stringify(entry.body, null, 2) : entry.received);
  add("headers", JSON.stringify(entry.headers, null, 2));
  add(`reply (${entry.status ?? "none yet"}, ${entry.done || "being sent"})`, entry.sent || entry.sent_base64);
  if (byHand && matchMedia("(max-width: 60rem)").matches) detail.scrollIntoView();
}

async function update() {
  try {
    // what was still being sent is asked for again
    const open = [...entries.values()].filter((entry) => !entry.done).map((entry) => entry.seq);
    const since = Math.min(next, ...open);
    const answer = await (await fetch(`/journal?since=${since}`)).json();
    next = answer.next;
    for (const entry of answer.entries) {
      const before = entries.get(entry.seq);
      entries.set(entry.seq, entry);
      draw(entry);
      if (entry.seq === chosen && before && !before.done) choose(chosen);
    }
    at("state").textContent = entries.size === 1 ? "1 request" : `${entries.size} requests`;
    at("none").hidden = entries.size > 0;
  } catch (problem) {
    at("state").textContent = "the mock server does not answer";
  }
}

function redraw() { for (const entry of entries.values()) draw(entry); }

at("filter").addEventListener("input", redraw);
at("misses").addEventListener("change", redraw);
at("reset").addEventListener("click", async () => {
  await fetch("/reset", {method: "POST"});
  entries.clear();
  rows.clear();
  at("entries").replaceChildren();
  chosen = null;
  at("none").hidden = false;
  at("detail").replaceChildren();
});
(async function live() { await update(); setTimeout(live, 1000); })();
