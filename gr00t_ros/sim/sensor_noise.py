"""What a camera's sensor adds to a picture: no two frames are equal, though nothing moves.

Without it a scene at rest would look like a camera that hangs. Refuses to know who renders.
"""

import numpy as np
from numpy.typing import NDArray

_SPARE = 4096  # places at which the fixed pattern may begin: so many different frames


class SensorNoise:
    """Turns the lowest bit of about half of all values, another half each frame."""

    def __init__(self, seed: int) -> None:
        """Noise that is the same for the same seed, frame by frame."""
        self._random = np.random.default_rng(seed)
        self._bits = np.zeros(0, dtype=np.uint8)

    def add(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A new picture of the same shape, each value at most one level away.

        One pattern is made for all frames and shifted: drawing each anew took 30 times as long.
        """
        if self._bits.size < picture.size + _SPARE:
            self._bits = self._random.integers(0, 2, picture.size + _SPARE, dtype=np.uint8)
        begin = int(self._random.integers(_SPARE))
        bits = self._bits[begin : begin + picture.size].reshape(picture.shape)
        return np.bitwise_xor(picture, bits)
