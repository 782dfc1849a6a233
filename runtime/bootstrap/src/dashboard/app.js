"use strict";
// The dashboard: asks the server every second and a half while somebody looks, and shows what it says.
// Whatever comes from peers is put in as text, never as markup.

const EVERY = 1500;
const SILENT = 20 * 60;
const $ = (id) => document.getElementById(id);
let timer = null;
// The number of the last refreshing that was begun: what an older one hears is no longer news.
let turn = 0;

async function ask(path, method = "GET", body = undefined) {
  const options = { method, headers: { "x-p2pnet-dashboard": "1" }, credentials: "same-origin" };
  if (body !== undefined) {
    options.headers["content-type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const response = await fetch(path, options);
  const answer = response.status === 204 ? {} : await response.json().catch(() => ({}));
  if (!response.ok) {
    const error = new Error(answer.error ? answer.error.message : `status ${response.status}`);
    error.code = answer.error ? answer.error.code : "";
    throw error;
  }
  return answer;
}

function showLogin(message) {
  turn += 1;
  clearTimeout(timer);
  $("board").hidden = true;
  $("login").hidden = false;
  $("login-error").textContent = message;
  $("token").focus();
}

function stateOf(peer) {
  return peer.kind === "alive" && peer.heard_secs >= SILENT ? "silent" : peer.kind;
}

function ago(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return seconds < 86400 ? `${Math.floor(seconds / 3600)} h ago` : `${Math.floor(seconds / 86400)} days ago`;
}

const since = (millis) => ago(Math.max(0, (Date.now() - millis) / 1000));

// Puts rows into a table: each is a class and its cells, each cell a text and a class.
function fill(table, rows) {
  const heads = [...$(table).tHead.rows[0].cells].map((cell) => cell.textContent);
  $(table).tBodies[0].replaceChildren(...rows.map(([kind, ...cells]) => {
    const row = document.createElement("tr");
    if (kind) row.classList.add(kind);
    cells.forEach(([text, style], index) => {
      const cell = row.insertCell();
      cell.textContent = text === null || text === undefined ? "" : String(text);
      if (style) cell.classList.add(style);
      cell.dataset.head = heads[index];
    });
    return row;
  }));
  $(table).hidden = rows.length === 0;
  const empty = $(`${table}-empty`);
  if (empty) empty.hidden = rows.length > 0;
}

async function refresh() {
  clearTimeout(timer);
  turn += 1;
  const own = turn;
  try {
    const [authority, health, peers, introductions, tasks, certificates, log] = await Promise.all(
      ["/v1/authority", "/health", "/v1/peers?want=200", "/v1/introductions", "/v1/tasks?want=200", "/v1/certificates?want=50",
        "/v1/log?want=100"].map((path) => ask(path)),
    );
    if (own !== turn) return;
    show(authority, health, peers, introductions.introductions, tasks, certificates.certificates, log.log);
    $("login").hidden = true;
    $("board").hidden = false;
  } catch (error) {
    if (own !== turn) return;
    if (error.code === "no-session") {
      showLogin($("board").hidden ? "" : "Your session is over. Log in again.");
      return;
    }
    $("state").textContent = `not up to date: ${error.message}`;
    $("state").classList.add("bad");
    if ($("board").hidden) $("login-error").textContent = error.message;
  }
  timer = setTimeout(refresh, document.hidden ? 10 * EVERY : EVERY);
}

function show(authority, health, peers, introductions, tasks, certificates, log) {
  const isAuthority = authority.mode === "authority";
  $("mode").textContent = authority.mode;
  $("authority").textContent = isAuthority
    ? `Authority ${authority.authority}`
    : "This server is trustless: it signs nothing. Start it with --mode authority to sign certificates and pass tasks on.";
  for (const form of document.querySelectorAll(".authority-only")) form.hidden = !isAuthority;
  $("state").textContent = health.restoring ? "reading back" : health.status;
  $("state").classList.toggle("bad", health.status !== "ok");
  const list = peers.peers;
  const order = { alive: 0, silent: 1, leaving: 2, gone: 3 };
  const sorted = [...list].sort((a, b) => order[stateOf(a)] - order[stateOf(b)] || a.heard_secs - b.heard_secs);
  $("count-alive").textContent = list.filter((peer) => stateOf(peer) === "alive").length + (peers.total > list.length ? "+" : "");
  $("count-total").textContent = peers.total;
  $("count-networks").textContent = new Set(list.map((peer) => peer.network)).size;
  $("count-tasks").textContent = tasks.total;
  fill("peers", sorted.map((peer) => [stateOf(peer), [peer.name || "no name", "any"], [stateOf(peer), "state"],
    [ago(peer.heard_secs)], [peer.from], [peer.network, "id"], [peer.peer, "id"]]));
  drawMap($("map"), $("map-chosen"), list, introductions);
  const names = new Map(list.map((peer) => [peer.peer, peer.name]));
  const called = (id) => (names.get(id) ? `${names.get(id)} (${id.slice(0, 8)})` : id.slice(0, 16));
  fill("tasks", tasks.tasks.map((task) => ["", [inWords(task), "any"], [task.target ? called(task.target) : "everybody", "any"],
    [new Date(task.expires * 1000).toLocaleString()], [tasks.reports.filter((report) => report.task === task.id).length],
    [task.sequence], [task.network, "id"]]));
  fill("reports", tasks.reports.map((report) => [report.outcome === "failed" ? "failed" : "", [since(report.at)],
    [called(report.peer), "any"], [`${report.kind} ${report.sequence}`],
    [report.text, "any"]]));
  suggest("networks", new Set(list.map((peer) => peer.network)), () => "");
  suggest("peer-ids", new Set(list.map((peer) => peer.peer)), (id) => names.get(id));
  fill("certificates", certificates.map((one) => ["", [one.number], [since(one.at)], [one.subject, "id"],
    [one.capabilities.join(" "), "any"], [one.expires ? new Date(one.expires * 1000).toLocaleString() : "never"], [one.network, "id"]]));
  fill("log", log.map((line) => ["", [since(line.at)], [line.what], [line.peer ? line.peer.slice(0, 8) : "", "id"],
    [line.from], [line.text, "any"]]));
}

// What a task asks for, in a line.
function inWords(task) {
  const parts = Object.entries(task.of).map(([name, value]) => `${name} ${value}`);
  return [task.kind, ...parts].join(", ");
}

// Fills a list of suggestions, if it has changed: an open one would close.
function suggest(id, values, label) {
  const options = [...values].map((value) => new Option(label(value) || "", value));
  const isSame = options.length === $(id).children.length
    && options.every((option, at) => option.value === $(id).children[at].value);
  if (!isSame) $(id).replaceChildren(...options);
}

// Sends a form, and says below it what became of it.
function onSubmit(form, send) {
  $(form).addEventListener("submit", async (event) => {
    event.preventDefault();
    const outcome = event.target.querySelector(".outcome");
    const value = (name) => event.target.elements[name].value.trim();
    try {
      outcome.textContent = await send(value);
      outcome.className = "outcome good";
    } catch (error) {
      if (error.code === "no-session") return showLogin("Your session is over. Log in again.");
      outcome.textContent = error.message;
      outcome.className = "outcome bad";
    }
    refresh();
  });
}

onSubmit("task-form", async (value) => {
  const issued = await ask("/v1/tasks", "POST", {
    network: value("network"),
    target: value("target") || null,
    expires: Math.floor(Date.now() / 1000) + 60 * Number(value("minutes")),
    kind: value("kind"),
    of: readParts(value("kind"), value),
  });
  return `Issued as ${issued.sequence}. Nodes get it with their next announcement.`;
});

onSubmit("certificate-form", async (value) => {
  const days = value("days");
  const signed = await ask("/v1/certificates", "POST", {
    network: value("network"),
    subject: value("subject"),
    capabilities: value("capabilities").split(/\s+/).filter(Boolean),
    expires: days ? Math.floor(Date.now() / 1000) + 86400 * Number(days) : null,
  });
  const hex = [...atob(signed.certificate)].map((c) => c.charCodeAt(0).toString(16).padStart(2, "0")).join("");
  return `authority ${signed.authority}\ncertificate ${hex}`;
});

$("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await ask("/session", "POST", { token: $("token").value });
    $("token").value = "";
    $("login-error").textContent = "";
    refresh();
  } catch (error) {
    $("login-error").textContent = error.message;
  }
});

$("logout").addEventListener("click", async () => {
  await ask("/session", "DELETE").catch(() => {});
  showLogin("");
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !$("board").hidden) refresh();
});
addEventListener("resize", () => {
  if (!$("board").hidden) refresh();
});

setUpTasks($("task-form"));
refresh();
