/** The mode in large: what the robot does, why it stands, what to do and what to press. */

import { forgetEstop, mayCommand } from "./commands.js";
import { $, put } from "./elements.js";

/** Icon of each mode, the button that the operator probably needs, and what pressing does. */
const MODES = {
  unconfigured: { icon: "wait", press: "Nothing here. Configure and activate the node: gr00t autostart does both." },
  waiting: { icon: "wait", press: "Nothing yet. When the cause is gone, activate the node." },
  ready: { icon: "ready", press: "Nothing here. Activate the node: gr00t autostart does it." },
  blending_in: { icon: "move", button: "pause", press: "Pause to stop and hold. E-stop to stop until a reset." },
  replaying: { icon: "move", button: "pause", press: "Pause to stop and hold. E-stop to stop until a reset." },
  stopping: { icon: "slow", press: "Nothing. Wait until the arm rests." },
  holding: { icon: "pause", press: "Nothing. {It} with the next chunk." },
  paused: { icon: "pause", press: "Nothing. When the cause is gone, {it} by itself." },
  paused_by_operator: { icon: "pause", button: "resume", press: "Resume: {it}." },
  fault: { icon: "stop", button: "reset", press: "Reset when the cause is gone: {it}." },
  fault_inactive: { icon: "stop", button: "reset", press: "Reset when the cause is gone. Then activate the node." },
};
const MOVES = { true: "the replay goes on, nothing is commanded", false: "the arm moves again" };

/** What stands in the place of the mode while the server is not reached. */
export const LOST = {
  connecting: { mode: "lost", label: "Connecting", severity: "none", reason: "", remedy: "" },
  lost: {
    mode: "lost",
    label: "Connection lost",
    severity: "error",
    reason: "This page has no connection to its server.",
    remedy: "Watch the robot itself. The page connects again as soon as it can.",
    press: "The hardware e-stop if the robot must stop. These buttons do not reach it.",
  },
  denied: {
    mode: "lost",
    label: "No access",
    severity: "error",
    reason: "The server does not accept this page's token.",
    remedy: "Open the address that gr00t web printed at its start.",
    press: "The hardware e-stop if the robot must stop. These buttons do not reach it.",
  },
};

/** What stands there while the node is silent: an old mode is never shown as the present one. */
export function silentMode(snapshot, facts) {
  if (facts?.source !== "live") {
    return { mode: "lost", label: "No status here", severity: "none", reason: "The recording has no status of the node at this time." };
  }
  if (snapshot.mode === "unconfigured") {
    return {
      ...snapshot,
      reason: `A node that is not configured tells its mode only when that changes, the last time ${snapshot.age_s.toFixed(0)} s ago.`,
    };
  }
  const age = snapshot.age_s == null ? "The node has not been heard yet." : `No status for ${snapshot.age_s.toFixed(1)} s.`;
  const last = snapshot.label && snapshot.age_s != null ? ` The last was: ${snapshot.label}.` : "";
  return {
    mode: "lost",
    label: "Policy node silent",
    severity: "error",
    reason: age + last,
    remedy: `Look whether ${facts.node} runs and its network works; gr00t doctor names causes.`,
    press: mayCommand(facts) ? "E-stop or the hardware e-stop if the robot must stop." : "The hardware e-stop if the robot must stop.",
  };
}

let announced = "";

/** Shows a state, or one of the above; `facts` say which buttons there are. */
export function showMode(shown, facts) {
  const row = MODES[shown.mode] ?? { icon: "lost" };
  const commands = mayCommand(facts);
  const moves = MOVES[Boolean(shown.shadow)];
  const pressed = row.press?.replace("{it}", moves).replace("{It}", moves[0].toUpperCase() + moves.slice(1));
  const press = shown.press ?? (commands ? pressed : "");
  document.title = facts ? `${shown.label} - ${facts.robot}` : shown.label;
  document.body.dataset.severity = shown.severity;
  document.body.dataset.mode = shown.mode;
  for (const id of ["mode-icon", "estop-icon"]) {
    if ($(id).getAttribute("href") !== `#i-${row.icon}`) $(id).setAttribute("href", `#i-${row.icon}`);
  }
  put("mode-label", shown.label);
  put("estop-mode", shown.label);
  put("mode-task", shown.instruction ? `\u201c${shown.instruction}\u201d` : "");
  // The command line's way to press a button is for pages without buttons.
  const remedy = commands && shown.remedy?.includes("gr00t operator") ? "" : shown.remedy;
  for (const [id, text] of [["why", shown.reason], ["do", remedy], ["press", press]]) {
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
