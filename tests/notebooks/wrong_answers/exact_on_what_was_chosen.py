"""Known wrong answers to the exercises of "Exact on what was chosen"."""

import numpy as np


def averages(outs, lses):
    return outs.mean(axis=0), np.log(np.exp(lses).sum(axis=0))


def adds(outs, lses):
    return outs.sum(axis=0), np.log(np.exp(lses).sum(axis=0))


def takes_the_exp_without_the_peak(outs, lses):
    total = np.exp(lses).sum(axis=0)
    return (np.exp(lses)[..., None] * outs).sum(axis=0) / total[..., None], np.log(total)


def two_empty_parts_are_nan(outs, lses):
    peak = lses.max(axis=0)
    share = np.exp(lses - peak)
    total = share.sum(axis=0)
    return (share[..., None] * outs).sum(axis=0) / total[..., None], peak + np.log(total)


def sparse_minus_dense(weights, values, read):
    return weights[read] @ values[read] / weights[read].sum() - weights @ values


def keeps_the_dense_weights(weights, values, read):
    return weights[~read] @ values[~read]


def forgets_the_missed_mass(weights, values, read):
    sparse = weights[read] @ values[read] / weights[read].sum()
    return weights[~read] @ values[~read] / weights[~read].sum() - sparse


def divides_by_nothing(weights, values, read):
    missed = weights[~read].sum()
    sparse = weights[read] @ values[read] / weights[read].sum()
    return missed * (weights[~read] @ values[~read] / missed - sparse)


def takes_base_two_for_base_e(outs, lses):
    total = np.exp(lses).sum(axis=0)
    return (np.exp(lses)[..., None] * outs).sum(axis=0) / total[..., None], np.log(total)


def returns_the_natural_log(outs, lses):
    total = np.exp2(lses).sum(axis=0)
    return (np.exp2(lses)[..., None] * outs).sum(axis=0) / total[..., None], np.log(total)


def subtracts_the_lses(out, lse, part_out, part_lse):
    share = np.exp(part_lse - lse)
    return (out - share * part_out) / (1 - share), lse - part_lse


def forgets_to_divide_by_what_is_left(out, lse, part_out, part_lse):
    share = np.exp(part_lse - lse)
    return out - share * part_out, lse + np.log(1 - share)


def divides_by_zero_when_nothing_is_left(out, lse, part_out, part_lse):
    share = np.exp(part_lse - lse)
    return (out - share * part_out) / (1 - share), lse + np.log(1 - share)


def finds_none(attend, num_blocks, block_size):
    return []


def compares_the_output_of_random_arrays(attend, num_blocks, block_size):
    rng = np.random.default_rng(0)
    num_keys = num_blocks * block_size
    q, k, v = rng.normal(size=8), rng.normal(size=(num_keys, 8)), rng.normal(size=(num_keys, 8))
    exact = np.exp(k @ q / 8**0.5) @ v / np.exp(k @ q / 8**0.5).sum()
    return [] if np.allclose(attend(q, k, v), exact, atol=0.1) else [num_blocks - 1]


WRONG = {
    "merge_partials": [
        (averages, "expected 5, got the plain average, 6"),
        (adds, "expected 5, got the plain sum, 12"),
        (takes_the_exp_without_the_peak, "subtract the peak before the exp"),
        (two_empty_parts_are_nan, "-inf - -inf is NaN"),
    ],
    "sparse_error": [
        (sparse_minus_dense, "got 1.333: dense minus sparse"),
        (keeps_the_dense_weights, "must be divided by their sum"),
        (forgets_the_missed_mass, "times the missed mass"),
        (divides_by_nothing, "0 / 0 is NaN"),
    ],
    "merge_base_two": [
        (takes_base_two_for_base_e, "takes base 2 for base e"),
        (returns_the_natural_log, "got 1.386, the natural log"),
    ],
    "without_part": [
        (subtracts_the_lses, "expected LSE ln(4 - 3) = 0"),
        (forgets_to_divide_by_what_is_left, "divide by the share that is left"),
        (divides_by_zero_when_nothing_is_left, "expected output 0 and LSE -inf"),
    ],
    "lost_blocks": [
        (finds_none, "4 blocks of 8, lost: [3]: expected [3], got []"),
        (compares_the_output_of_random_arrays, "lost: "),
    ],
}
