"""What must hold for every system of the family, whatever it chooses and by what."""

import numpy as np
import pytest
from cases import assert_close
from family_cases import BATCH, CASES, LENGTH, check_same_choice, make_inputs, run_in_steps

from msa_ref.family import SYSTEMS

every_system = pytest.mark.parametrize("name", sorted(CASES))
WHOLE = [(name, config) for name in sorted(CASES) for config in CASES[name].whole]
SELECTIVE = sorted({name for name, _ in WHOLE})


def test_every_system_has_a_case():
    assert set(CASES) == set(SYSTEMS)


@pytest.mark.parametrize(("name", "config"), WHOLE)
def test_a_full_budget_is_dense_attention(name, config):
    system, config, weights, hidden = make_inputs(name, config)
    want = CASES[name].limit(hidden, weights, config)
    assert_close(system.run(hidden, weights, config).out, want, 1e-13)
    steps = run_in_steps(system, hidden, weights, config, [1] * LENGTH)
    assert_close(np.concatenate([step.out for step in steps], axis=2), want, 1e-13)


@pytest.mark.parametrize("name", SELECTIVE)
def test_a_small_budget_differs_from_dense_in_every_late_row(name):
    system, config, weights, hidden = make_inputs(name)
    got = system.run(hidden, weights, config).out
    want = CASES[name].limit(hidden, weights, config)
    assert_close(got[:, :, :1], want[:, :, :1], 1e-13)
    assert (np.abs(got - want).max(axis=-1)[:, :, -5:] > 1e-6).all()


@every_system
@pytest.mark.parametrize("tokens", [1, 4, 5, 8, 12, 20, 22])
def test_changing_the_future_changes_nothing_before_it(name, tokens):
    system, config, weights, hidden = make_inputs(name)
    changed = hidden.copy()
    changed[:, tokens:] = 7 * hidden[:, ::-1][:, tokens:] + 1
    got, want = (system.run(states, weights, config) for states in (changed, hidden))
    # Not bit for bit: how a matrix product rounds depends on its number of rows.
    assert_close(got.out[:, :, :tokens], want.out[:, :, :tokens], 1e-13)
    assert (np.abs(got.out - want.out)[:, :, tokens].max(axis=-1) > 1e-6).all()
    for branch, same in zip(got.branches, want.branches):
        np.testing.assert_array_equal(branch.allowed[:, :, :tokens], same.allowed[:, :, :tokens])
        assert_close(branch.gate[:, :, :tokens], same.gate[:, :, :tokens], 1e-13)


@every_system
@pytest.mark.parametrize("length", [1, 2, 4, 5, 9, 16, 22])
def test_a_prefix_run_is_the_long_runs_prefix(name, length):
    system, config, weights, hidden = make_inputs(name)
    short = system.run(hidden[:, :length], weights, config)
    long = system.run(hidden, weights, config)
    assert_close(short.out, long.out[:, :, :length], 1e-13)
    check_same_choice(short, long, np.arange(length))


@every_system
@pytest.mark.parametrize(
    "steps",
    [[1] * LENGTH, [5, 1, 3, 7, 2, 5], [22, 1], [1, 22], [9, 1, 1, 1, 11], [4, 4, 4, 4, 4, 3]],
    ids=str,
)
def test_streaming_through_the_cache_is_the_prefill(name, steps):
    system, config, weights, hidden = make_inputs(name)
    prefill = system.run(hidden, weights, config)
    parts = run_in_steps(system, hidden, weights, config, steps)
    assert_close(np.concatenate([part.out for part in parts], axis=2), prefill.out, 1e-13)
    for stop, count, part in zip(np.cumsum(steps), steps, parts):
        check_same_choice(part, prefill, np.arange(stop - count, stop))


@every_system
@pytest.mark.parametrize("steps", [[LENGTH], [9, 1, 6, 7]], ids=str)
def test_no_query_is_allowed_what_ends_after_it(name, steps):
    system, config, weights, hidden = make_inputs(name)
    parts = run_in_steps(system, hidden, weights, config, steps)
    for stop, count, part in zip(np.cumsum(steps), steps, parts):
        positions = np.arange(stop - count, stop)
        for entries, allowed, gate in part.branches:
            assert entries.shape == (allowed.shape[-1], 2)
            assert (entries[:, 0] <= entries[:, 1]).all()
            assert allowed.dtype == bool
            assert allowed.shape[:3] == gate.shape == part.out.shape[:3]
            assert not (allowed & (entries[:, 1] > positions[:, None])).any()


@every_system
def test_one_branch_has_gates_of_one_and_several_have_others(name):
    system, config, weights, hidden = make_inputs(name)
    branches = system.run(hidden, weights, config).branches
    ones = [(branch.gate == 1).all() for branch in branches]
    assert ones == [True] if len(branches) == 1 else not any(ones)


@every_system
def test_sequences_of_a_batch_do_not_touch(name):
    system, config, weights, hidden = make_inputs(name)
    whole = system.run(hidden, weights, config).out
    for b in range(BATCH):
        assert_close(system.run(hidden[b : b + 1], weights, config).out[0], whole[b], 1e-13)


@every_system
def test_outputs_are_float64_and_repeat_exactly(name):
    system, config, weights, hidden = make_inputs(name)
    first, second = (system.run(hidden, weights, config) for _ in range(2))
    assert first.out.dtype == np.float64
    assert all(weight.dtype == np.float64 for weight in weights.values())
    np.testing.assert_array_equal(first.out, second.out)


@every_system
def test_one_token_alone_is_a_context(name):
    system, config, weights, hidden = make_inputs(name, length=1)
    out = system.run(hidden, weights, config).out
    assert out.shape[:3] == (BATCH, config.num_heads, 1)
    assert np.isfinite(out).all()
    assert (np.abs(out).max(axis=-1) > 0).all()


def bad_hidden(hidden):
    nan = hidden.copy()
    nan[1, 2, 3] = np.nan
    return [hidden[0], hidden[:, :0], hidden[:, :, :-1], hidden[:2], nan, hidden.astype(int)]


@pytest.mark.without_shapes
@every_system
@pytest.mark.parametrize("bad", range(6))
def test_refused_hidden_states_leave_the_cache_as_it_was(name, bad):
    system, config, weights, hidden = make_inputs(name)
    cache = system.new_cache(config, BATCH)
    system.run(hidden[:, :9], weights, config, cache)
    with pytest.raises((ValueError, TypeError), match=r"^hidden: got .*takes"):
        system.run(bad_hidden(hidden)[bad], weights, config, cache)
    assert cache.length == 9
    rest = system.run(hidden[:, 9:], weights, config, cache).out
    assert_close(rest, system.run(hidden, weights, config).out[:, :, 9:], 1e-13)


@pytest.mark.without_shapes
@every_system
def test_a_cache_of_another_system_is_refused(name):
    system, config, weights, hidden = make_inputs(name)
    other = "moba" if name == "dense" else "dense"
    cache = SYSTEMS[other].new_cache(CASES[other].config, BATCH)
    with pytest.raises(ValueError, match=r"^cache: got .*takes"):
        system.run(hidden, weights, config, cache)
    with pytest.raises(ValueError, match=r"^cache: got .*takes"):
        system.run(hidden, weights, config, {})


@every_system
def test_missing_and_wrong_weights_are_refused_by_name(name):
    system, config, weights, hidden = make_inputs(name)
    for weight in weights:
        less = {key: array for key, array in weights.items() if key != weight}
        with pytest.raises(ValueError, match=f"^weights: got none named {weight}"):
            system.run(hidden, less, config)
        cut = weights | {weight: weights[weight][..., :-1]}
        with pytest.raises(ValueError, match=f"^{weight}: got shape"):
            system.run(hidden, cut, config)


@every_system
@pytest.mark.parametrize("batch", [0, -1])
def test_a_cache_for_no_sequence_is_refused(name, batch):
    with pytest.raises(ValueError, match=f"^batch: got {batch}"):
        SYSTEMS[name].new_cache(CASES[name].config, batch)
