"""The toy of this lesson: eight words, five channels a word, two heads that ask one question each.

Every matrix is small enough for paper, and W_q carries a factor of log 4, so that every exponential
of a score is a power of two.
"""

from __future__ import annotations

import numpy as np

WORDS = ("she", "took", "the", "book", "and", "closed", "its", "cover")
CHANNELS = ("noun", "person", "action", "owned", "paper")
HEADS = ("whose?", "who?")
# [S, D]: how much of each channel a word has.
X = np.array(
    [
        [2, 2, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [1, 0, 0, 0, 0],
        [3, 0, 0, 0, 4],
        [0, 0, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [1, 0, 0, 1, 0],
        [4, 0, 0, 1, 2],
    ],
    dtype=float,
)
# [H, D, d]: what is owned asks for a noun that is no person; an action asks for a person.
W_Q = np.zeros((2, 5, 4))
W_Q[0, 3] = np.log(4) * np.array([1, -1, 0, 0])
W_Q[1, 2] = np.log(4) * np.array([0, 2, 0, 0])
# [D, d]: a word is found by its first four channels, and says all but whether it is owned.
W_K = np.eye(5)[:, [0, 1, 2, 3]]
W_V = np.eye(5)[:, [0, 1, 2, 4]]
# [H d, D]: the first head's paper is added to paper, the second head's person to person.
W_O = np.zeros((8, 5))
W_O[3, 4] = W_O[5, 1] = 1
