/** The panels below the mode: cameras, joints, ages, latency, events, details and reports. */

import { drawPicture, JointCurves } from "./charts.js";
import { $, make, put } from "./elements.js";

/** Without a new picture for so long, the camera's picture is marked as old. */
const PICTURE_OLD_MS = 1000;
const EVENTS_KEPT = 200;

const cameras = [];
const curves = new JointCurves($("joints"));

export function buildCameras(names) {
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
      canvas.height = 180;
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

export async function showFrame(number, stampNs, jpeg) {
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

export function markOldPictures() {
  const now = performance.now();
  const live = document.body.dataset.source === "live"; // the picture of a bag that stands is not old
  for (const camera of cameras) {
    camera.arrivals = camera.arrivals.filter((one) => now - one < 2000);
    const age = camera.last === null ? null : now - camera.last;
    const old = age === null || (live && age > PICTURE_OLD_MS);
    let note = live ? `${Math.round(camera.arrivals.length / 2)} pictures/s` : "from the recording";
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

export function showCurves(message) {
  curves.update(message);
  const gap = curves.largestGap();
  put("joints-gap", gap ? `Largest gap to commanded now: ${gap.gap.toFixed(4)} at ${gap.name}` : "");
}

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

export function showStreams(streams) {
  const rows = streams.map((stream) => ({ key: stream.name, ...stream }));
  bars("streams", rows, (row, { item, track, value, fill }) => {
    const limit = row.limit_s ?? 0; // 0: the node has told none
    const scale = 1.5 * limit || 1;
    const known = row.age_s !== null && row.age_s >= 0;
    const age = known ? `${row.age_s.toFixed(row.age_s < 10 ? 2 : 0)}` : "never";
    fill[0].style.width = "0";
    fill[1].style.width = percent(known ? row.age_s / scale : 1);
    fill[2].style.left = percent(limit / scale);
    fill[2].hidden = !limit;
    item.classList.toggle("bad", !row.ok);
    const text = known ? `${age} of ${limit.toFixed(2)} s` : "never received";
    const bad = known && row.age_s <= limit ? "not usable" : "too old";
    put(value, row.ok ? text : `\u26a0 ${text}`);
    track.setAttribute("aria-label", `Age of ${row.key}`);
    meter(track, known ? row.age_s : scale, scale, `${text}${row.ok ? "" : `, ${bad}`}`);
  });
}

function meter(track, value, max, text) {
  track.setAttribute("aria-valuemin", "0");
  track.setAttribute("aria-valuemax", max.toFixed(3));
  track.setAttribute("aria-valuenow", Math.min(value, max).toFixed(3));
  track.setAttribute("aria-valuetext", text);
}

export function showLatency(latency) {
  if (!latency) return;
  const { limit_ms: limit, end_to_end_ms: whole } = latency;
  const stages = latency.stages ?? [];
  const largest = Math.max(whole ?? 0, ...stages.map((one) => one.p99_ms ?? 0));
  const scale = 1.1 * Math.max(limit ?? 0, largest, 1);
  const rows = stages.map((one) => ({ key: one.stage.replaceAll("_", " "), ...one }));
  bars("latency", rows, (row, { item, track, value, fill }) => {
    const p50 = row.p50_ms ?? 0;
    const p99 = row.p99_ms ?? p50;
    fill[0].style.width = percent(p99 / scale);
    fill[1].style.width = percent(p50 / scale);
    fill[2].style.left = percent((limit ?? 0) / scale);
    fill[2].hidden = !limit;
    const late = Boolean(limit) && p99 > limit;
    item.classList.toggle("bad", late);
    item.title = `half below ${p50.toFixed(1)} ms, 99 % below ${p99.toFixed(1)} ms, longest ${(row.max_ms ?? p99).toFixed(1)} ms`;
    const known = row.p50_ms !== null;
    put(value, known ? `${late ? "\u26a0 " : ""}${p50.toFixed(0)} / ${p99.toFixed(0)} ms` : "not measured");
    track.setAttribute("aria-label", `Latency of ${row.key}`);
    meter(track, p99, scale, item.title);
  });
  put("latency-text", latencySentence(limit, whole));
}

function latencySentence(limit, whole) {
  if (whole == null) return "Not measured yet.";
  const took = `Picture to plan: ${whole.toFixed(0)} ms.`;
  if (limit == null) return took;
  const most = `The action horizon covers ${Math.max(limit, 0).toFixed(0)} ms`;
  if (whole > limit) return `\u26a0 ${took} ${most} only.`;
  return `${took} ${most}, ${(limit - whole).toFixed(0)} to spare.`;
}

const eventsSeen = new Set();
const LEVELS = { info: "\u2022", warn: "\u26a0", error: "\u2716" };

export function showEvent(event) {
  const key = `${event.number} ${event.time_s}`;
  if (eventsSeen.has(key)) return; // after a new connection the server tells them again
  eventsSeen.add(key);
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
export function showDetails(details) {
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

export async function showReports() {
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
      link.href = `reports/${report.path.split("/").map(encodeURIComponent).join("/")}`;
      link.target = "_blank";
      link.rel = "noreferrer";
      const at = new Date(report.time_s * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
      const item = make("li", "");
      item.append(link, make("span", "quiet", ` ${report.kind}, ${at}`));
      return item;
    }),
  );
}
