/** The buttons: what the operator wants goes to the server, and its answer stands beside the button. */

import { $, make, put } from "./elements.js";

/** The node answers at once; without an answer for so long the operator must not wait. */
const ESTOP_ANSWER_MS = 2000;
/** An answer that comes later is told as well. */
const ESTOP_GIVEN_UP_MS = 60000;

/** By then a status has told of the fault; one comes twice a second. */
const ESTOP_TOLD_MS = 1500;

let server = null;
let durationS = 0;

/** Takes the connection that commands go through. */
export function commandThrough(link) {
  server = link;
}

/** Shows the buttons that this page may press: those of the facts and the role in `hello`. */
export function showButtons(hello) {
  const commands = mayCommand(hello);
  for (const id of ["drive", "estop-area", "task"]) $(id).hidden = !commands;
  document.body.classList.toggle("commands", commands);
  $("recorder").hidden = !(hello.can_record && hello.role === "command");
  $("bag").hidden = !(hello.source === "bag" && hello.role === "command");
  durationS = hello.duration_s ?? 0;
  $("bag-seek").max = durationS;
}

export function mayCommand(facts) {
  return facts?.role === "command" && Boolean(facts.can_command);
}

async function command(name, value, answerPlace, doing) {
  const place = $(answerPlace);
  place.dataset.ok = "sending";
  put(place, `${doing}: sending`);
  const answer = await server.command(name, value);
  place.dataset.ok = String(answer.ok);
  put(place, `${doing}: ${answer.ok ? "confirmed" : "NOT confirmed"}${answer.text ? `. ${answer.text}` : ""}`);
  return answer.ok;
}

for (const [id, doing] of [["pause", "Pause"], ["resume", "Resume"], ["reset", "Reset"]]) {
  $(id).addEventListener("click", () => command(id, null, "drive-answer", doing));
}

let estopPressed = 0;
let estopConfirmed = false;
let estopConfirmedAt = 0;
let estopSeen = false;

async function estop() {
  const press = ++estopPressed;
  estopConfirmed = estopSeen = false;
  showEstop("sending", "Sending");
  const late = setTimeout(() => estopFailed(press, `no answer within ${ESTOP_ANSWER_MS / 1000} s`), ESTOP_ANSWER_MS);
  const answer = await server.command("estop", null, ESTOP_GIVEN_UP_MS);
  clearTimeout(late);
  if (answer.ok) {
    estopConfirmed = true;
    estopConfirmedAt = performance.now();
    showEstop("confirmed", `Confirmed by the node at ${new Date().toLocaleTimeString([], { hour12: false })}`);
  } else {
    estopFailed(press, answer.text);
  }
}

function estopFailed(press, why) {
  if (press !== estopPressed || estopConfirmed) return;
  showEstop("failed", `NOT confirmed: press the hardware e-stop. (${why})`);
}

function showEstop(kind, text) {
  $("estop-area").dataset.answer = kind;
  put("estop-answer", text);
}

/**
 * The confirmation goes when the fault that it began has been left; also when somebody has reset it
 * before a status told of it.
 */
export function forgetEstop(mode) {
  const fault = mode === "fault" || mode === "fault_inactive";
  const moves = mode === "replaying" || mode === "blending_in";
  if (estopConfirmed && !estopSeen && moves && performance.now() - estopConfirmedAt > ESTOP_TOLD_MS) {
    estopConfirmed = false;
    showEstop("failed", "It was confirmed, but the robot moves again. To stop it: E-STOP or the hardware e-stop.");
  }
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
export function showHistory(history) {
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

export function showRecorder(recorder) {
  if (!recorder) {
    put("recorder-state", "no recorder is heard");
    return;
  }
  const seconds = recorder.seconds == null ? "" : `${recorder.seconds.toFixed(0)} s`;
  const episode = recorder.episode == null ? "" : `episode ${recorder.episode}`;
  const source = recorder.source ? `source ${recorder.source}` : "";
  put("recorder-state", [recorder.state, episode, seconds, source].filter(Boolean).join(", "));
}

let seeking = false;
let playing = false;

export function showPosition(snapshot) {
  if (snapshot.playing != null) playing = snapshot.playing;
  const speed = String(snapshot.speed ?? 1);
  if (document.activeElement !== $("bag-speed")) $("bag-speed").value = speed;
  put("bag-play-text", playing ? "Hold the bag" : "Play the bag");
  if (snapshot.position_s == null || seeking) return;
  $("bag-seek").value = snapshot.position_s;
  put("bag-position", `${snapshot.position_s.toFixed(1)} of ${durationS.toFixed(1)} s`);
}

$("bag-play").addEventListener("click", async () => {
  const wanted = !playing;
  const name = wanted ? "play" : "pause_bag";
  if (await command(name, null, "bag-answer", wanted ? "Play" : "Hold")) playing = wanted;
});
$("bag-seek").addEventListener("input", () => {
  seeking = true;
  put("bag-position", `${Number($("bag-seek").value).toFixed(1)} of ${durationS.toFixed(1)} s`);
});
$("bag-seek").addEventListener("change", async () => {
  await command("seek", Number($("bag-seek").value), "bag-answer", "Seek");
  seeking = false;
});
$("bag-speed").addEventListener("change", () => command("speed", Number($("bag-speed").value), "bag-answer", "Speed"));
