/** The operator page: puts what the server tells into the page, and the operator's wishes on the wire. */

import { drawPicture, JointCurves } from "./charts.js";
import { Link } from "./link.js";

const $ = (id) => document.getElementById(id);

/** Without a new picture for so long, the camera's picture is marked as old. */
const PICTURE_OLD_MS = 1000;
/** The node answers at once; without an answer for so long the operator must not wait. */
const ESTOP_ANSWER_MS = 2000;
const EVENTS_KEPT = 200;
const REPORTS_EVERY_MS = 30000;

/** Icon of each mode, the button that the operator probably needs, and what pressing does. */
const MODES = {
  unconfigured: { icon: "wait", press: "Nothing here. Configure and activate the node: gr00t autostart does both." },
  waiting: { icon: "wait", press: "Nothing yet. When the cause is gone, activate the node." },
  ready: { icon: "ready", press: "Nothing here. Activate the node: gr00t autostart does it." },
  blending_in: { icon: "move", button: "pause", press: "Pause to stop and hold." },
  replaying: { icon: "move", button: "pause", press: "Pause to stop and hold." },
  stopping: { icon: "slow", press: "Nothing. Wait until the arm rests." },
  holding: { icon: "pause", press: "Nothing. {It} again with the next chunk." },
  paused: { icon: "pause", press: "Nothing. When the cause is gone, {it} again by itself." },
  paused_by_operator: { icon: "pause", button: "resume", press: "Resume: {it} again." },
  fault: { icon: "stop", button: "reset", press: "Remove the cause, then Reset: {it} again." },
  fault_inactive: { icon: "stop", button: "reset", press: "Remove the cause, then Reset, then activate the node." },
};
const MOVES = { true: "the replay goes on, nothing is commanded", false: "the arm moves" };
const SOURCES = { live: "Live", bag: "From a bag", report: "From a report" };

let facts = null;
let state = null;
let silent = false;
let announced = "";
const cameras = [];
const curves = new JointCurves($("joints"));

const link = new Link({
  hello: showFacts,
  state: showState,
  curves: showCurves,
  event: showEvent,
  frame: showFrame,
  status: showLink,
});

function put(place, text) {
  const element = typeof place === "string" ? $(place) : place;
  if (element.textContent !== text) element.textContent = text;
}

function make(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

// ------------------------------------------------------------------ facts and the connection

function showFacts(hello) {
  const again = facts !== null;
  facts = hello;
  const commands = hello.role === "command" && hello.can_command;
  put("robot", hello.robot || "gr00t");
  put("node", hello.node);
  put("source", SOURCES[hello.source] ?? hello.source);
  $("source").hidden = false;
  $("role").hidden = commands || hello.source !== "live";
  document.title = `${hello.robot} - gr00t`;
  document.body.dataset.source = hello.source;
  for (const id of ["drive", "estop-area", "task"]) $(id).hidden = !commands;
  document.body.classList.toggle("commands", commands);
  $("recorder").hidden = !(hello.can_record && hello.role === "command");
  $("bag").hidden = !(hello.source === "bag" && hello.role === "command");
  $("bag-seek").max = hello.duration_s ?? 1;
  if (again) $("events").replaceChildren();
  buildCameras(hello.cameras);
  showReports();
}

/** The state of the connection, in the banner and in the large mode: an old mode is never shown. */
function showLink(status) {
  document.body.dataset.link = status;
  put("link", { connecting: "connecting", open: "connected", lost: "not connected", denied: "refused" }[status]);
  showBanner();
  if (status !== "open") {
    state = null;
    showMode(LOST[status]);
  }
}

const LOST = {
  connecting: { mode: "lost", label: "Connecting", severity: "none", reason: "", remedy: "" },
  lost: {
    mode: "lost",
    label: "Not known",
    severity: "error",
    reason: "This page has no connection to its server, so it does not know what the robot does.",
    remedy: "Watch the robot itself. The page connects again as soon as it can.",
    press: "The hardware e-stop if the robot must stop: the buttons here do not reach it.",
  },
  denied: {
    mode: "lost",
    label: "No access",
    severity: "error",
    reason: "The server does not accept this page's token.",
    remedy: "Open the address that gr00t web printed at its start.",
    press: "The hardware e-stop if the robot must stop: the buttons here do not reach it.",
  },
};

function showBanner() {
  const status = document.body.dataset.link;
  const seconds = (since) => `${Math.max(1, Math.round((performance.now() - since) / 1000))} s`;
  let title = "";
  let text = "";
  if (status === "lost") {
    title = "No connection to the page's server";
    text = "What you see is old. The robot may be moving. Trying again.";
    if (link.lostSince) text = `What you see is ${seconds(link.lostSince)} old. The robot may be moving. Trying again.`;
  } else if (status === "denied") {
    title = "No access with this address";
    text = "Open the address that gr00t web printed at its start.";
  } else if (silent) {
    title = "The policy node is silent";
    text = state?.age_s == null ? "No status from it yet." : `Its last status is ${state.age_s.toFixed(0)} s old.`;
  }
  $("banner").hidden = !title;
  document.body.classList.toggle("stale", Boolean(title));
  put("banner-title", title);
  put("banner-text", text);
}

setInterval(() => {
  if (document.body.dataset.link === "lost") showBanner();
  put("clock", new Date().toLocaleTimeString([], { hour12: false }));
  markOldPictures();
}, 250);

// ------------------------------------------------------------------ the mode, large

function showState(snapshot) {
  state = snapshot;
  silent = !snapshot.connected;
  if (document.body.dataset.link === "open") showBanner();
  showMode(silent ? silentMode(snapshot) : snapshot);
  showStreams(snapshot.streams ?? []);
  showLatency(snapshot.latency);
  showDetails(snapshot.details ?? []);
  showHistory(snapshot.history ?? []);
  showRecorder(snapshot.recorder);
  showPosition(snapshot);
  const episode = snapshot.episode == null ? "" : `episode ${snapshot.episode}`;
  put("episode", episode);
  $("shadow").hidden = !snapshot.shadow;
}

function silentMode(snapshot) {
  if (facts?.source !== "live") {
    return { mode: "lost", label: "No status here", severity: "none", reason: "The recording has no status of the node at this time." };
  }
  const age = snapshot.age_s == null ? "The node has not been heard yet." : `No status for ${snapshot.age_s.toFixed(1)} s.`;
  const last = snapshot.label && snapshot.age_s != null ? ` The last was: ${snapshot.label}.` : "";
  return {
    mode: "lost",
    label: "Policy node silent",
    severity: "error",
    reason: age + last,
    remedy: `Look whether ${facts.node} runs and its network works; gr00t doctor names causes.`,
    press: facts.can_command ? "E-stop or the hardware e-stop if the robot must stop." : "The hardware e-stop if the robot must stop.",
  };
}

function showMode(shown) {
  const row = MODES[shown.mode] ?? { icon: "lost" };
  const commands = facts?.role === "command" && facts.can_command;
  const moves = MOVES[Boolean(shown.shadow)];
  const pressed = row.press?.replace("{it}", moves).replace("{It}", moves[0].toUpperCase() + moves.slice(1));
  const press = shown.press ?? (commands ? pressed : "");
  document.body.dataset.severity = shown.severity;
  document.body.dataset.mode = shown.mode;
  for (const id of ["mode-icon", "estop-icon"]) {
    if ($(id).getAttribute("href") !== `#i-${row.icon}`) $(id).setAttribute("href", `#i-${row.icon}`);
  }
  put("mode-label", shown.label);
  put("estop-mode", shown.label);
  put("mode-task", shown.instruction ? `\u201c${shown.instruction}\u201d` : "");
  for (const [id, text] of [["why", shown.reason], ["do", shown.remedy], ["press", press]]) {
    $(`row-${id}`).hidden = !text;
    put(`mode-${id}`, text ?? "");
  }
  for (const name of ["pause", "resume", "reset"]) {
    $(name).classList.toggle("suggested", row.button === name);
  }
  forgetEstop(shown.mode);
  if (announced !== shown.label) {
    announced = shown.label;
    put("mode-live", [shown.label, shown.reason, press].filter(Boolean).join(". "));
  }
}

// ------------------------------------------------------------------ commands

async function command(name, value, answerPlace, doing) {
  const place = $(answerPlace);
  place.dataset.ok = "sending";
  put(place, `${doing}: sending`);
  const answer = await link.command(name, value);
  place.dataset.ok = String(answer.ok);
  put(place, `${doing}: ${answer.ok ? "confirmed" : "NOT done"}${answer.text ? `. ${answer.text}` : ""}`);
  return answer.ok;
}

for (const [id, doing] of [["pause", "Pause"], ["resume", "Resume"], ["reset", "Reset"]]) {
  $(id).addEventListener("click", () => command(id, null, "drive-answer", doing));
}

let estopPressed = 0;
let estopConfirmed = false;
let estopSeen = false;

async function estop() {
  const press = ++estopPressed;
  estopConfirmed = estopSeen = false;
  showEstop("sending", "Sending");
  const answer = await link.command("estop", null, ESTOP_ANSWER_MS);
  if (answer.ok) {
    estopConfirmed = true;
    showEstop("confirmed", `Confirmed by the node at ${new Date().toLocaleTimeString([], { hour12: false })}`);
  } else if (press === estopPressed && !estopConfirmed) {
    showEstop("failed", `NOT confirmed: press the hardware e-stop. (${answer.text})`);
  }
}

function showEstop(kind, text) {
  $("estop-area").dataset.answer = kind;
  put("estop-answer", text);
}

/** The confirmation goes when the fault that it began has been left. */
function forgetEstop(mode) {
  const fault = mode === "fault" || mode === "fault_inactive";
  if (estopConfirmed && fault) estopSeen = true;
  if (estopConfirmed && estopSeen && !fault && mode !== "lost") {
    estopConfirmed = estopSeen = false;
    showEstop("", "");
  }
}

// The press counts, not the release: a finger that slides off the button has pressed it. A
// keyboard and assistive technology send a click alone.
let pressedAt = -Infinity;
$("estop").addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  pressedAt = performance.now();
  estop();
});
$("estop").addEventListener("click", () => {
  if (performance.now() - pressedAt > 1500) estop();
  pressedAt = -Infinity;
});

// ------------------------------------------------------------------ instruction and recorder

$("task-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("task-text").value.trim();
  if (!text) {
    put("task-answer", "Nothing was sent: the box is empty.");
    return;
  }
  if (await command("instruction", text, "task-answer", "Instruction")) $("task-text").value = "";
});

let historyShown = "";
function showHistory(history) {
  if (history.join("\n") === historyShown) return;
  historyShown = history.join("\n");
  $("task-history").replaceChildren(
    ...history.slice(0, 6).map((text) => {
      const button = make("button", "past", text);
      button.type = "button";
      button.addEventListener("click", () => {
        $("task-text").value = text;
        $("task-text").focus();
      });
      const item = make("li", "");
      item.append(button);
      return item;
    }),
  );
}

const RECORD = {
  start: ["record_start", "", "Start"],
  stop: ["record_stop", null, "Stop and keep"],
  success: ["record_label", "success", "Success"],
  failure: ["record_label", "failure", "Failure"],
  discard: ["record_discard", null, "Discard"],
};
for (const [id, [name, value, doing]] of Object.entries(RECORD)) {
  $(`record-${id}`).addEventListener("click", () => command(name, value, "recorder-answer", doing));
}

function showRecorder(recorder) {
  if (!recorder) {
    put("recorder-state", "no recorder is heard");
    return;
  }
  const seconds = recorder.seconds == null ? "" : `${recorder.seconds.toFixed(0)} s`;
  const episode = recorder.episode == null ? "" : `episode ${recorder.episode}`;
  const source = recorder.source ? `source ${recorder.source}` : "";
  put("recorder-state", [recorder.state, episode, seconds, source].filter(Boolean).join(", "));
}

// ------------------------------------------------------------------ a bag

let seeking = false;
let playing = true;

function showPosition(snapshot) {
  if (snapshot.playing != null) playing = snapshot.playing;
  put("bag-play-text", playing ? "Hold the bag" : "Play the bag");
  if (snapshot.position_s == null || seeking) return;
  $("bag-seek").value = snapshot.position_s;
  put("bag-position", `${snapshot.position_s.toFixed(1)} of ${(facts?.duration_s ?? 0).toFixed(1)} s`);
}

$("bag-play").addEventListener("click", async () => {
  const wanted = !playing;
  const name = wanted ? "play" : "pause_bag";
  if (await command(name, null, "bag-answer", wanted ? "Play" : "Hold")) playing = wanted;
});
$("bag-seek").addEventListener("input", () => {
  seeking = true;
  put("bag-position", `${Number($("bag-seek").value).toFixed(1)} of ${(facts?.duration_s ?? 0).toFixed(1)} s`);
});
$("bag-seek").addEventListener("change", async () => {
  await command("seek", Number($("bag-seek").value), "bag-answer", "Seek");
  seeking = false;
});
$("bag-speed").addEventListener("change", () => command("speed", Number($("bag-speed").value), "bag-answer", "Speed"));

// ------------------------------------------------------------------ cameras and curves

function buildCameras(names) {
  if (names.join("\n") === cameras.map((camera) => camera.name).join("\n")) return;
  cameras.length = 0;
  $("cameras").dataset.count = names.length;
  $("cameras").replaceChildren(
    ...names.map((name) => {
      const figure = make("figure", "camera");
      const canvas = make("canvas", "");
      const caption = make("figcaption", "");
      const note = make("span", "camera-note", "no picture yet");
      canvas.width = 320;
      canvas.height = 240;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `Camera ${name}: no picture yet`);
      caption.append(make("span", "camera-name", name), note);
      figure.append(canvas, caption);
      cameras.push({ name, figure, canvas, note, last: null, arrivals: [], broken: false });
      return figure;
    }),
  );
  if (!names.length) $("cameras").append(make("p", "note", "No camera is sent to the policy."));
}

async function showFrame(number, stampNs, jpeg) {
  const camera = cameras[number];
  if (!camera) return;
  try {
    await drawPicture(camera.canvas, jpeg);
    camera.broken = false;
  } catch {
    camera.broken = true;
  }
  camera.last = performance.now();
  camera.arrivals.push(camera.last);
  camera.figure.dataset.stamp = String(stampNs);
  markOldPictures();
}

function markOldPictures() {
  const now = performance.now();
  for (const camera of cameras) {
    camera.arrivals = camera.arrivals.filter((one) => now - one < 2000);
    const age = camera.last === null ? null : now - camera.last;
    const old = age === null || age > PICTURE_OLD_MS;
    let note = `${Math.round(camera.arrivals.length / 2)} pictures/s`;
    if (age === null) note = "no picture yet";
    else if (old) note = `no new picture for ${(age / 1000).toFixed(0)} s`;
    else if (camera.broken) note = "the picture cannot be decoded";
    camera.figure.classList.toggle("old", old || camera.broken);
    if (camera.note.textContent !== note) {
      camera.note.textContent = note;
      camera.canvas.setAttribute("aria-label", `Camera ${camera.name}: ${old ? note : "moving picture"}`);
    }
  }
}

function showCurves(message) {
  curves.update(message);
  const gap = curves.largestGap();
  put("joints-gap", gap ? `Largest distance of measured from commanded now: ${gap.gap.toFixed(4)} at ${gap.name}` : "");
}

// ------------------------------------------------------------------ bars

/** Rows of bars that stay the same elements while only their numbers change. */
function bars(place, rows, build) {
  const keys = rows.map((row) => row.key).join("\n");
  const list = $(place);
  if (list.dataset.keys !== keys || list.childElementCount !== rows.length) {
    list.dataset.keys = keys;
    list.replaceChildren(
      ...rows.map((row) => {
        const item = make("li", "");
        const bar = make("div", "track");
        bar.setAttribute("role", "meter");
        bar.append(make("span", "fill wide"), make("span", "fill"), make("span", "limit"));
        item.append(make("span", "name", row.key), bar, make("span", "value figure"));
        return item;
      }),
    );
  }
  rows.forEach((row, i) => {
    const [name, track, value] = list.children[i].children;
    build(row, { item: list.children[i], name, track, value, fill: track.children });
  });
}

function percent(part) {
  return `${Math.min(100, Math.max(0, 100 * part)).toFixed(1)}%`;
}

function showStreams(streams) {
  const rows = streams.map((stream) => ({ key: stream.name, ...stream }));
  bars("streams", rows, (row, { item, track, value, fill }) => {
    const scale = 1.5 * row.limit_s;
    const known = row.age_s !== null && row.age_s >= 0;
    const age = known ? `${row.age_s.toFixed(row.age_s < 10 ? 2 : 0)}` : "never";
    fill[0].style.width = "0";
    fill[1].style.width = percent(known ? row.age_s / scale : 1);
    fill[2].style.left = percent(row.limit_s / scale);
    item.classList.toggle("bad", !row.ok);
    const text = known ? `${age} of ${row.limit_s.toFixed(2)} s` : "never received";
    put(value, row.ok ? text : `\u26a0 ${text}`);
    track.setAttribute("aria-label", `Age of ${row.key}`);
    meter(track, known ? row.age_s : scale, scale, `${text}${row.ok ? "" : ", too old"}`);
  });
}

function meter(track, value, max, text) {
  track.setAttribute("aria-valuemin", "0");
  track.setAttribute("aria-valuemax", max.toFixed(3));
  track.setAttribute("aria-valuenow", Math.min(value, max).toFixed(3));
  track.setAttribute("aria-valuetext", text);
}

function showLatency(latency) {
  if (!latency) return;
  const { horizon_ms: horizon, end_to_end_ms: whole } = latency;
  const stages = latency.stages ?? [];
  const largest = Math.max(whole ?? 0, ...stages.map((one) => one.p95_ms ?? 0));
  const scale = 1.1 * Math.max(horizon ?? 0, largest, 1);
  const rows = stages.map((one) => ({ key: one.stage.replaceAll("_", " "), ...one }));
  bars("latency", rows, (row, { item, track, value, fill }) => {
    const p95 = row.p95_ms ?? row.p50_ms;
    fill[0].style.width = percent(p95 / scale);
    fill[1].style.width = percent(row.p50_ms / scale);
    fill[2].style.left = percent((horizon ?? 0) / scale);
    fill[2].hidden = !horizon;
    const late = Boolean(horizon) && p95 > horizon;
    item.classList.toggle("bad", late);
    item.title = `half below ${row.p50_ms.toFixed(1)} ms, 95 % below ${p95.toFixed(1)} ms, longest ${(row.max_ms ?? p95).toFixed(1)} ms`;
    put(value, `${late ? "\u26a0 " : ""}${row.p50_ms.toFixed(0)} / ${p95.toFixed(0)} ms`);
    track.setAttribute("aria-label", `Latency of ${row.key}`);
    meter(track, p95, scale, item.title);
  });
  put("latency-text", latencySentence(horizon, whole));
}

function latencySentence(horizon, whole) {
  if (whole == null) return "Not measured yet.";
  const took = `From picture to plan: ${whole.toFixed(0)} ms.`;
  if (horizon == null) return took;
  const left = horizon - whole;
  if (left < 0) return `\u26a0 ${took} The horizon of ${horizon.toFixed(0)} ms is too short by ${(-left).toFixed(0)} ms.`;
  return `${took} The horizon is ${horizon.toFixed(0)} ms: ${left.toFixed(0)} ms to spare.`;
}

// ------------------------------------------------------------------ events, details, reports

const LEVELS = { info: "\u2022", warn: "\u26a0", error: "\u2716" };

function showEvent(event) {
  const item = make("li", event.level);
  const at = new Date(event.time_s * 1000);
  const time = make("time", "figure", at.toLocaleTimeString([], { hour12: false }));
  time.dateTime = at.toISOString();
  const sign = make("span", "sign", LEVELS[event.level] ?? LEVELS.info);
  sign.setAttribute("aria-hidden", "true");
  item.append(time, sign, make("span", "", event.text));
  if (event.level !== "info") item.append(make("span", "hidden-text", `(${event.level})`));
  $("events").prepend(item);
  while ($("events").childElementCount > EVENTS_KEPT) $("events").lastElementChild.remove();
}

let detailsShown = "";
function showDetails(details) {
  const text = JSON.stringify(details);
  if (text === detailsShown || !$("details-area").open) return;
  detailsShown = text;
  $("details").replaceChildren(
    ...details.map(([key, value]) => {
      const row = make("div", "");
      row.append(make("dt", "", key), make("dd", "", String(value)));
      return row;
    }),
  );
}

async function showReports() {
  let reports = [];
  try {
    const reply = await fetch("reports", { cache: "no-store" });
    if (reply.ok) reports = await reply.json();
  } catch {
    return; // the banner tells it
  }
  $("reports-area").hidden = !reports.length;
  $("reports").replaceChildren(
    ...reports.map((report) => {
      const link = make("a", "", report.title || report.name);
      link.href = report.path;
      link.target = "_blank";
      link.rel = "noreferrer";
      const at = new Date(report.time_s * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
      const item = make("li", "");
      item.append(link, make("span", "quiet", ` ${report.kind}, ${at}`));
      return item;
    }),
  );
}
setInterval(showReports, REPORTS_EVERY_MS);

// The token must not stay in an address that is shown on a screen or shared; the cookie has it.
if (location.search) history.replaceState(null, "", location.pathname);
