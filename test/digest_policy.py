"""A policy that holds the arm and writes into each chunk what it has seen, as a digest.

`seen` reads it out of a chunk again: two chunks tell the same only for the same bytes observed.
"""

import hashlib

import numpy as np

from gr00t_ros.sidecar.hold import HoldPolicy

STEP_RAD = 1e-5
BYTES = 32


def digest(arrays):
    """The SHA-256 of all arrays by name, whatever their order and leading axis of size one."""
    sha = hashlib.sha256()
    for key in sorted(arrays):
        sha.update(key.encode() + np.ascontiguousarray(arrays[key]).tobytes())
    return sha.digest()


def seen(joint_position):
    """The digest in a chunk's rows (H, D), as bytes."""
    column = joint_position[:, 0].astype(np.float64)
    values = np.rint((column[:BYTES] - column[-1]) / STEP_RAD)
    return bytes(values.astype(np.uint8))


class DigestPolicy(HoldPolicy):
    """Row r of joint 1 is byte r of the digest further, in steps of 10 urad."""

    def __call__(self, observation, options):
        """As the hold policy, with the digest."""
        action, info = super().__call__(observation, options)
        told = digest({**observation["video"], **observation["state"]})
        chunk = action["joint_position"]
        chunk[:, :BYTES, 0] += np.frombuffer(told, np.uint8).astype(np.float32) * STEP_RAD
        return action, info


def make_policy(embodiment):
    """The policy for an embodiment."""
    return DigestPolicy(embodiment)
