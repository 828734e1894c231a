"""The generators ``numpy.random.default_rng([seed, k, again])`` for many k at once: the same streams, at less cost.

numpy hashes each list of numbers into the start of its generator (``numpy.random.SeedSequence``, after M. O'Neill's
seed_seq, https://www.pcg-random.org/posts/developing-a-seed_seq-alternative.html); here all are hashed together.
"""

import numpy as np

POOL = 4  # 32-bit words
INIT_A, MULT_A, INIT_B, MULT_B = 0x43B0D7E5, 0x931E8875, 0x8B51F9DD, 0x58F38DED
MIX_LEFT, MIX_RIGHT = np.uint32(0xCA01F9DD), np.uint32(0x4973F715)


class _Start(np.random.bit_generator.ISeedSequence):
    """Hands a generator what was hashed for it."""

    def __init__(self, words):
        self.words = words

    def generate_state(self, n_words, dtype=np.uint32):
        return self.words


def generators(entropy):
    """Yields ``default_rng([int, ...])`` for each row of ``entropy [row, number]``, numbers from 0 to 2^32 - 1."""
    for words in starts(entropy):
        yield np.random.Generator(np.random.PCG64(_Start(words)))


def starts(entropy) -> np.ndarray:
    """``SeedSequence(row).generate_state(4, uint64)`` for each row of ``entropy [row, number]``: ``[row, 4]``."""
    words = list(np.asarray(entropy, dtype=np.uint32).T)
    words += [np.zeros_like(words[0])] * (POOL - len(words))
    constant = INIT_A

    def hashed(value, multiplier):
        nonlocal constant
        value = value ^ np.uint32(constant)
        constant = constant * multiplier & 0xFFFFFFFF
        value = value * np.uint32(constant)
        return value ^ value >> np.uint32(16)

    def mixed(x, y):
        value = MIX_LEFT * x - MIX_RIGHT * y
        return value ^ value >> np.uint32(16)

    pool = [hashed(word, MULT_A) for word in words[:POOL]]
    for source in range(POOL):
        for k in range(POOL):
            if k != source:
                pool[k] = mixed(pool[k], hashed(pool[source], MULT_A))
    for word in words[POOL:]:
        pool = [mixed(value, hashed(word, MULT_A)) for value in pool]
    constant = INIT_B
    state = np.stack([hashed(pool[k % POOL], MULT_B) for k in range(2 * POOL)], axis=-1)
    return np.ascontiguousarray(state.astype("<u4")).view("<u8").astype(np.uint64)
