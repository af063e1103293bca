/** The operator page's entry: takes what the server tells, and gives each part to the page. */

import { commandThrough, mayCommand, showButtons, showHistory, showPosition, showRecorder } from "./commands.js";
import { $, put } from "./elements.js";
import { Link } from "./link.js";
import { LOST, showMode, silentMode } from "./mode.js";
import * as panels from "./panels.js";

const REPORTS_EVERY_MS = 30000;
const SOURCES = { live: "Live", bag: "From a bag", report: "From a report" };
const LINKS = { connecting: "connecting", open: "connected", lost: "not connected", denied: "refused" };

let facts = null;
let silence = null;

const link = new Link({
  hello: showFacts,
  state: showState,
  curves: panels.showCurves,
  event: panels.showEvent,
  frame: panels.showFrame,
  status: showLink,
});
commandThrough(link);

function showFacts(hello) {
  facts = hello;
  put("robot", hello.robot || "gr00t");
  put("node", hello.node);
  put("source", SOURCES[hello.source] ?? hello.source);
  $("source").hidden = false;
  $("role").hidden = mayCommand(hello) || hello.source !== "live";
  document.body.dataset.source = hello.source;
  showButtons(hello);
  panels.buildCameras(hello.cameras);
  panels.showReports();
}

function showState(snapshot) {
  const expected = facts.source === "live" && snapshot.mode !== "unconfigured";
  silence = snapshot.connected || !expected ? null : snapshot;
  showBanner();
  showMode(snapshot.connected ? snapshot : silentMode(snapshot, facts), facts);
  panels.showStreams(snapshot.streams ?? []);
  panels.showLatency(snapshot.latency);
  panels.showDetails(snapshot.details ?? []);
  showHistory(snapshot.history ?? []);
  showRecorder(snapshot.recorder);
  showPosition(snapshot);
  put("episode", snapshot.episode == null ? "" : `episode ${snapshot.episode}`);
  $("shadow").hidden = !snapshot.shadow;
}

/** While the server is not reached, the page says so and shows no mode. */
function showLink(status) {
  document.body.dataset.link = status;
  put("link", LINKS[status]);
  if (status !== "open") {
    showBanner();
    showMode(LOST[status], facts);
  }
}

function showBanner() {
  const [title, text] = bannerText(document.body.dataset.link);
  $("banner").hidden = !title;
  document.body.classList.toggle("stale", Boolean(title));
  put("banner-title", title);
  put("banner-text", text);
}

function bannerText(status) {
  if (status === "lost") {
    const old = link.lostSince ? `${Math.max(1, Math.round((performance.now() - link.lostSince) / 1000))} s ` : "";
    return ["No connection to the page's server.", `What you see is ${old}old. Trying again.`];
  }
  if (status === "denied") {
    return ["No access with this address.", "Open the address that gr00t web printed at its start."];
  }
  if (!silence) return ["", ""];
  const age = silence.age_s == null ? "It has not been heard yet." : `Its last status is ${silence.age_s.toFixed(0)} s old.`;
  return ["The policy node is silent.", age];
}

setInterval(() => {
  if (document.body.dataset.link === "lost") showBanner();
  put("clock", new Date().toLocaleTimeString([], { hour12: false }));
  panels.markOldPictures();
}, 250);
setInterval(panels.showReports, REPORTS_EVERY_MS);

// The token must not stay in an address that is shown on a screen or shared; the cookie has it.
if (location.search) history.replaceState(null, "", location.pathname);
