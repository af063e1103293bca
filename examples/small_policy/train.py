"""Trains the small policy on a dataset, for a given number of minutes; a second call continues.

python3 -m examples.small_policy.train DATASET --output FOLDER --minutes 20
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from examples.small_policy.dataset import Rows, held_back, read
from examples.small_policy.model import Prediction, Shape, SmallPolicy, load, save

SIZE_PX = (90, 160)
BATCH = 64
RATE = 1e-3
WARM_UP = 0.02
"""Share of the time in which the learning rate rises."""
STATE_NOISE_RAD = 0.01
"""A little noise on the joints: the policy learns to return to the demonstrated way."""
SAVE_EVERY_S = 30.0
CHECKPOINT, CURVE = "policy.pt", "curve.jsonl"


@dataclass(slots=True)
class Data:
    """Rows as tensors, with what each row's chunk and goal are."""

    rows: Rows
    goals: NDArray[np.float32]
    horizon: int

    def batch(
        self, chosen: NDArray[np.int64], noise_rad: float
    ) -> tuple[list[Tensor], Tensor, Tensor, Tensor, Tensor]:
        """Pictures, state (B, J + 1), steps (B, H, J) from it, closed (B, H), goal (B, J)."""
        rows = self.rows
        pictures = [
            torch.from_numpy(shown[chosen]).permute(0, 3, 1, 2) for shown in rows.pictures.values()
        ]
        state = torch.from_numpy(rows.state[chosen])
        if noise_rad:
            state[:, :-1] += noise_rad * torch.randn_like(state[:, :-1])
        ahead = rows.chunk_rows(chosen, self.horizon)
        joints = state[:, :-1]
        steps = torch.from_numpy(rows.arm[ahead]) - joints[:, None]
        closed = torch.from_numpy(rows.closed[ahead].astype(np.float32))
        return pictures, state, steps, closed, torch.from_numpy(self.goals[chosen]) - joints


def split(rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to train on, and rows of the episodes that are held back."""
    back = np.isin(rows.episode, held_back(np.unique(rows.episode).tolist()))
    return np.flatnonzero(~back), np.flatnonzero(back)


def normalise(model: SmallPolicy, data: Data, chosen: NDArray[np.int64]) -> None:
    """Measure means and scales on the rows to train on."""
    rows = data.rows
    state = rows.state[chosen]
    model.state_mean.copy_(torch.from_numpy(state.mean(axis=0)))
    model.state_scale.copy_(torch.from_numpy(state.std(axis=0) + 1e-2))
    steps = rows.arm[rows.chunk_rows(chosen, data.horizon)] - state[:, None, :-1]
    model.step_mean.copy_(torch.from_numpy(steps.mean(axis=0)))
    model.step_scale.copy_(torch.from_numpy(steps.std(axis=0) + 1e-2))
    goal = data.goals[chosen] - state[:, :-1]
    model.goal_scale.copy_(torch.from_numpy(goal.std(axis=0) + 1e-2))


def losses(
    model: SmallPolicy, found: Prediction, steps: Tensor, closed: Tensor, goal: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean absolute errors of steps and goal, normalised, and the gripper's cross entropy."""
    wanted = (steps - model.step_mean) / model.step_scale
    return (
        (found.steps - wanted).abs().mean(),
        functional.binary_cross_entropy_with_logits(found.closed, closed),
        (found.goal - goal / model.goal_scale).abs().mean(),
    )


def measure(model: SmallPolicy, data: Data, chosen: NDArray[np.int64]) -> dict[str, float]:
    """Errors on rows that are not trained on: of the arm in rad, share of wrong gripper orders."""
    if not len(chosen):
        return {}
    model.eval()
    arm, gripper, goal, count = 0.0, 0.0, 0.0, 0
    with torch.no_grad():
        for part in np.array_split(chosen[:: max(1, len(chosen) // 1024)], 8):
            pictures, state, steps, closed, way = data.batch(part, 0.0)
            found = model(pictures, state)
            miss = found.steps * model.step_scale + model.step_mean - steps
            arm += miss.abs().mean().item() * len(part)
            gripper += ((found.closed > 0) != (closed > 0.5)).float().mean().item() * len(part)
            goal += (found.goal * model.goal_scale - way).abs().mean().item() * len(part)
            count += len(part)
    model.train()
    return {"arm_rad": arm / count, "gripper_wrong": gripper / count, "goal_rad": goal / count}


def train(dataset: Path, output: Path, minutes: float, horizon: int, threads: int) -> Path:
    """Train until `minutes` have been spent, those of earlier calls included; the checkpoint."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    output.mkdir(parents=True, exist_ok=True)
    path = output / CHECKPOINT
    rows = read(dataset, SIZE_PX, lambda text: print(text, flush=True))
    data = Data(rows, rows.goals(), horizon)
    learn, held_back = split(rows)
    if path.exists():
        model, past = load(path)
        spent_s, step = float(past["spent_s"]), int(past["step"])
    else:
        shape = Shape(tuple(rows.pictures), SIZE_PX, rows.state.shape[1] - 1, horizon)
        model, past, spent_s, step = SmallPolicy(shape), {}, 0.0, 0
        normalise(model, data, learn)
    model = model.to(memory_format=torch.channels_last)  # a third faster on a CPU
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1e-4)
    if "optimizer" in past:
        optimizer.load_state_dict(past["optimizer"])
    random = np.random.default_rng(step)
    budget_s, began, saved_s = 60.0 * minutes, time.monotonic() - spent_s, spent_s
    mean = 0.0
    print(f"{len(learn)} rows to train on, {len(held_back)} held back", flush=True)
    model.train()
    while spent_s < budget_s:
        share = spent_s / budget_s
        rate = RATE * min(1.0, share / WARM_UP + 0.05) * 0.5 * (1.0 + math.cos(math.pi * share))
        for group in optimizer.param_groups:
            group["lr"] = rate
        pictures, state, *wanted = data.batch(random.choice(learn, BATCH), STATE_NOISE_RAD)
        with torch.autocast("cpu", torch.bfloat16):
            found = model(pictures, state)
        parts = losses(model, found, *wanted)
        optimizer.zero_grad(set_to_none=True)
        sum(parts).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        mean += (parts[0].item() - mean) * max(0.02, 1.0 / step)
        spent_s = time.monotonic() - began
        if spent_s - saved_s > SAVE_EVERY_S or spent_s >= budget_s:
            saved_s = spent_s
            line = {"minutes": spent_s / 60.0, "step": step, "loss": mean}
            line |= measure(model, data, held_back)
            with (output / CURVE).open("a") as curve:
                curve.write(json.dumps(line) + "\n")
            print(" ".join(f"{key} {value:.4g}" for key, value in line.items()), flush=True)
            extra = {"step": step, "spent_s": spent_s, "optimizer": optimizer.state_dict()}
            save(path, model, extra)
    return path


def main() -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--horizon", type=int, default=32, help="steps of a chunk")
    parser.add_argument("--threads", type=int, default=2, help="processors to use")
    options = parser.parse_args()
    train(options.dataset, options.output, options.minutes, options.horizon, options.threads)


if __name__ == "__main__":
    main()
