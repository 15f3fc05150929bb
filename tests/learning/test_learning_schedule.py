"""The steps of a run: stages, learning rates, lengths and block sizes in turn."""

import pytest
from training_cases import TINY

from msa_learning.train.schedule import CONFIGS, Config, schedule, warm_up_steps


def test_the_stages_and_rates_of_a_run():
    stages, rates, lengths, block_sizes = zip(*(schedule(TINY, 200, step) for step in range(200)))
    assert stages == ("warm-up",) * 180 + ("sparse",) * 20
    assert rates[0] == pytest.approx(TINY.learning_rate / 20)
    assert rates[30] == TINY.learning_rate
    assert 0.6 * TINY.sparse_learning_rate < max(rates[180:]) <= TINY.sparse_learning_rate
    assert rates[72] == TINY.learning_rate
    assert 0 < rates[179] < rates[120] < rates[74] < TINY.learning_rate
    assert 0 < rates[199] < 0.1 * TINY.sparse_learning_rate
    assert lengths == TINY.lengths * 100
    assert block_sizes == (None,) * 180 + TINY.block_sizes * 10


def test_the_rate_rises_stays_and_falls_in_straight_lines():
    """Of 100 warm-up steps 20 rise; the last 60 fall, the last of them to a sixtieth."""
    config = Config(warm_up_share=0.5, learning_rate=3.0, sparse_learning_rate=6.0)
    for peak, first in ((3.0, 0), (6.0, 100)):
        rates = [schedule(config, 200, step).rate / peak for step in range(first, first + 100)]
        assert rates[:20] == pytest.approx([n / 20 for n in range(1, 21)])
        assert rates[20:41] == pytest.approx([1] * 21)
        assert rates[41:] == pytest.approx([n / 60 for n in range(59, 0, -1)])


def test_a_stage_of_one_step_takes_the_first_of_the_ramp():
    config = Config(warm_up_share=0.5, learning_rate=1.0, sparse_learning_rate=1.0)
    assert [schedule(config, 2, step).rate for step in range(2)] == pytest.approx([1 / 20] * 2)


@pytest.mark.parametrize("warm_up_share", [0.0, 0.5, 1.0])
def test_behind_the_last_step_nothing_is_learned(warm_up_share):
    """A stage without steps divides by no zero: a run asks for its stage when it ends."""
    end = schedule(Config(warm_up_share=warm_up_share), 4, 4)
    assert (end.stage, end.rate) == ("sparse", 0)


def test_shares_of_a_step_are_rounded():
    assert [warm_up_steps(Config(), steps) for steps in (1, 4, 5, 6, 16)] == [1, 4, 4, 5, 14]
    assert warm_up_steps(CONFIGS["cold"], 16) == 0
    assert warm_up_steps(CONFIGS["random"], 16) == 16
