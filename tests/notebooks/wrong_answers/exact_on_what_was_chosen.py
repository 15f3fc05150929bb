"""Known wrong answers to the exercises of lesson 07."""

import numpy as np


def adds_the_logs(lse_a, lse_b):
    return lse_a + lse_b


def takes_the_exp_without_the_peak(lse_a, lse_b):
    return np.log(np.exp(lse_a) + np.exp(lse_b))


def two_empty_parts_are_nan(lse_a, lse_b):
    peak = max(lse_a, lse_b)
    return peak + np.log(np.exp(lse_a - peak) + np.exp(lse_b - peak))


def forgets_to_shrink_the_sum(peak, total, weighted, scores, values):
    new_peak = max(peak, scores.max())
    safe_peak = 0.0 if new_peak == -np.inf else new_peak
    exponentials = np.exp(scores - safe_peak)
    shrunk = weighted * np.exp(peak - safe_peak)
    return new_peak, total + exponentials.sum(), shrunk + exponentials @ values


def forgets_to_shrink_the_weighted_sum(peak, total, weighted, scores, values):
    new_peak = max(peak, scores.max())
    safe_peak = 0.0 if new_peak == -np.inf else new_peak
    exponentials = np.exp(scores - safe_peak)
    shrunk = total * np.exp(peak - safe_peak)
    return new_peak, shrunk + exponentials.sum(), weighted + exponentials @ values


def an_empty_first_chunk_sets_the_peak_to_0(peak, total, weighted, scores, values):
    new_peak = max(peak, scores.max())
    new_peak = 0.0 if new_peak == -np.inf else new_peak
    rescale = np.exp(peak - new_peak)
    exponentials = np.exp(scores - new_peak)
    return (
        new_peak,
        total * rescale + exponentials.sum(),
        weighted * rescale + exponentials @ values,
    )


def subtracts_the_lses(out, lse, part_out, part_lse):
    share = np.exp(part_lse - lse)
    return (out - share * part_out) / (1 - share), lse - part_lse


def forgets_to_divide_by_what_is_left(out, lse, part_out, part_lse):
    share = np.exp(part_lse - lse)
    return out - share * part_out, lse + np.log(1 - share)


def divides_by_zero_when_nothing_is_left(out, lse, part_out, part_lse):
    share = np.exp(part_lse - lse)
    return (out - share * part_out) / (1 - share), lse + np.log(1 - share)


WRONG = {
    "7.1": [
        (adds_the_logs, "sums add, not their logs"),
        (takes_the_exp_without_the_peak, "subtract the peak before the exp"),
        (two_empty_parts_are_nan, "-inf - -inf is NaN"),
    ],
    "7.2": [
        (forgets_to_shrink_the_sum, "the old sum shrinks too"),
        (forgets_to_shrink_the_weighted_sum, "the old weighted sum shrinks as the old sum does"),
        (an_empty_first_chunk_sets_the_peak_to_0, "an empty chunk before anything is read"),
    ],
    "7.3": [
        (subtracts_the_lses, "takes ln(4 - 3) = 0"),
        (forgets_to_divide_by_what_is_left, "divide by the share that is left"),
        (divides_by_zero_when_nothing_is_left, "takes output 0 and LSE -inf"),
    ],
}
