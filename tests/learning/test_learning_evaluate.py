"""Recall, rules, needles and records, on cases whose right answer is known."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from learning_models import (
    LAYERS,
    SHAPE,
    VOCABULARY,
    random_ids,
    random_inputs,
    token_sets,
    torch_model,
)

from msa_learning.attention.selection import Budget
from msa_learning.corpus import needles
from msa_learning.corpus.tokens import held_out_texts, save_tokens
from msa_learning.evaluate import explorer_data, make_record, measure, needle_numpy
from msa_learning.evaluate.block_scorers import Scorer, all_scorers, window_scores
from msa_learning.evaluate.intervals import bootstrap
from msa_learning.index.branch import new_branches
from msa_learning.models.smollm2 import SparseAttention, attend_dense


@pytest.fixture(scope="module")
def model():
    return torch_model()


@pytest.fixture(scope="module")
def branches():
    return new_branches(**SHAPE, seed=1).requires_grad_(False)


@pytest.mark.parametrize(("name", "numpy_name"), [("max", "max score"), ("bound", "min/max bound")])
def test_scorers_score_as_the_numpy_ones(name, numpy_name):
    inputs = random_inputs(6, 45)
    got = all_scorers(None)[name].scores(inputs, 8)
    per_head = needle_numpy.RULES[numpy_name](inputs.q.numpy(), inputs.k.numpy(), 8)
    right = per_head.reshape(2, 2, 3, 6, -1).max(axis=2)
    scale = 8**-0.5 if name == "max" else 1
    assert got[..., :5].numpy() == pytest.approx(right[..., :5] * scale, abs=1e-4)


def test_mean_keys_are_scored_by_the_mean_of_the_heads():
    inputs = random_inputs(6, 45)
    got = all_scorers(None)["mean"].scores(inputs, 8)
    per_head = needle_numpy.mean_key_scores(inputs.q.numpy(), inputs.k.numpy(), 8)
    assert got.numpy() == pytest.approx(per_head.reshape(2, 2, 3, 6, -1).mean(axis=2), abs=1e-4)


def test_the_window_takes_the_first_and_the_last_blocks():
    chosen = Scorer(window_scores).select(random_inputs(2, 64), Budget(8, 3))
    assert chosen[1, 1].tolist() == [[0, 6, 7], [0, 6, 7]]


def test_the_oracle_of_mass_recalls_everything(model, branches):
    _, texts = data_of(length=96)
    rows, agreement = measure_recall(model, all_scorers(branches), texts)
    by_method = {row["method"]: row for row in rows}
    assert by_method["mass"]["score_recall"] == [1.0] * 3
    assert by_method["mass"]["block_recall"] == [1.0] * 3
    assert len(by_method["learned"]["score_recall_texts"]) == len(texts)
    assert all(0 < x < 1 for x in by_method["learned"]["score_recall"])
    (row,) = agreement
    assert len(row["groups"]) == 3
    assert len(row["neighbours"]) == 2
    # Rows 32 to 95 see 4 to 11 earlier blocks, of which 3 are free to choose.
    own = np.arange(32, 96) // 8
    assert row["chance"] == pytest.approx((3 / own).mean(), abs=1e-4)


def data_of(length):
    return held_out_texts(token_sets(), per_set=2, length=length)


def measure_recall(model, scorers, texts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "BLOCK_SIZES", (8,))
        patch.setattr(measure, "BUDGET_TOKENS", (32,))
        return measure.measure_recall(model, scorers, texts, "cpu")


def test_agreement_counts_what_two_selections_share():
    hook = measure.RecallAndAgreement({}, [])
    # One sequence of 6 tokens in blocks of 1, k = 3: rows 3 to 5 choose two blocks and their own.
    first = [[0, -1, -1], [0, 1, -1], [0, 1, 2], [0, 1, 3], [0, 1, 4], [0, 1, 5]]
    second = [*first[:3], [0, 2, 3], [2, 3, 4], [0, 1, 5]]
    ids = torch.tensor([first, second])[None]
    hook.note_agreement(Budget(1, 3), ids)
    hook.note_agreement(Budget(1, 3), ids.flip(1))
    (groups, layers, share, chance), (_, next_layers, *_) = hook.agreement[Budget(1, 3)]
    assert groups == pytest.approx(3 / 6)
    assert layers.isnan()
    assert next_layers == pytest.approx(3 / 6)
    assert share == pytest.approx(5 / 6)
    assert chance == pytest.approx((2 / 3 + 2 / 4 + 2 / 5) / 3)


def test_perplexity_of_a_full_budget_is_that_of_dense(model, branches):
    _, texts = data_of(length=40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "all_budgets", lambda length: [Budget(8, 5), Budget(8, 2)])
        rows = list(measure.measure_perplexity(model, all_scorers(branches), texts, "cpu"))
    assert rows[0]["method"] == "dense"
    assert rows[0]["ratio"] == 1
    assert rows[0]["interval"][0] < rows[0]["perplexity"] < rows[0]["interval"][1]
    full = [row["ratio"] for row in rows if row.get("top_k") == 5]
    small = [row["ratio"] for row in rows if row.get("top_k") == 2]
    assert full == pytest.approx([1] * 7, abs=1e-4)
    assert all(abs(ratio - 1) > 1e-3 for ratio in small)


def test_the_interval_of_perplexity_is_of_95_percent():
    """That of many texts is near the normal distribution's, 1.96 standard errors to either side."""
    nats = 3 + np.random.default_rng(4).normal(size=400)
    error = nats.std() / 20
    low, high = bootstrap(nats)
    assert (high - low) / 2 / error == pytest.approx(1.96, rel=0.05)
    row = measure.perplexity_row(nats, nats - 0.5)
    assert row["interval"] == pytest.approx(np.exp([low, high]), abs=1e-3)
    assert (
        row["ratio_interval"]
        == [row["ratio_interval"][0]] * 2
        == pytest.approx([np.exp(0.5)] * 2, abs=1e-4)
    )


def test_budgets_leave_something_to_select():
    assert Budget(128, 8) in measure.all_budgets(4096)
    assert max(budget.tokens for budget in measure.all_budgets(1024)) == 512


def encode(text):
    """A token a word or newline, digits one by one, all below the vocabulary's size."""
    spaced = text.replace("\n", " \n ")
    for digit in "0123456789":
        spaced = spaced.replace(digit, f" {digit} ")
    words = [word for word in spaced.split(" ") if word]
    return np.array([sum(word.encode()) % VOCABULARY for word in words], dtype=np.int64)


def test_haystacks_hold_their_needles():
    filler = token_sets()["held_topics"]
    hay = needles.make_haystacks(encode, filler, length=200, count=12)
    assert hay.contexts.shape == (12, 200 - needles.TAIL)
    assert hay.answers.sum(dim=1).tolist() == [5] * 12
    for context, tail, rows in zip(*hay):
        end = int(rows.nonzero()[-1]) + 2
        # Question and answer of the tail stand in the context, word for word.
        windows = context.unfold(0, end, 1)
        assert (windows == tail[:end]).all(dim=1).any()
        assert not tail[end:].any()
    again = needles.make_haystacks(encode, filler, length=200, count=3)
    assert torch.equal(again.contexts, hay.contexts[:3])


def test_a_needle_is_right_when_every_answer_token_is_the_likeliest(model, branches):
    """Answers made of what the model itself says next are right; one other token is wrong."""
    contexts, tail = random_ids(3, 50), random_ids(3, needles.TAIL, seed=5)
    answers = torch.zeros(3, needles.TAIL, dtype=torch.bool)
    answers[:, 9:12] = True
    for row in range(9, 12):
        said = model.logits(model(torch.cat([contexts, tail], dim=1)))[:, 50 + row].argmax(dim=-1)
        tail[:, row + 1] = said
    tail[1, 11] = (tail[1, 11] + 1) % VOCABULARY
    ready = needles.Prefilled(model, branches, needles.Haystacks(contexts, tail, answers))
    assert ready.right(attend_dense).tolist() == [True, False, True]
    full = SparseAttention(all_scorers(branches)["learned"].select, Budget(8, 10))
    assert ready.right(full).tolist() == [True, False, True]


def test_needles_by_layer_ask_with_one_layer_unlike_all_others(model, branches, monkeypatch):
    """A needle is found here where layer 2 reads by exact mass, another in short texts."""
    asked = []

    class Asked:
        def __init__(self, model, branches, hay):
            assert hay["count"] == 2
            self.length = hay["length"]

        def right(self, attend):
            asked.append([attend(SimpleNamespace(layer=layer)) for layer in range(LAYERS)])
            return torch.tensor([asked[-1][2] == "mass", self.length == 4096])

    def sparse(name, budget):
        assert budget == Budget(128, 8)
        return lambda inputs: name

    def scorers(_):
        return {name: SimpleNamespace(select=name) for name in ("learned", "mass")}

    monkeypatch.setattr(measure, "all_scorers", scorers)
    monkeypatch.setattr(measure, "SparseAttention", sparse)
    monkeypatch.setattr(measure.needles, "Prefilled", Asked)
    monkeypatch.setattr(measure.needles, "make_haystacks", lambda *_, **sizes: sizes)
    rows = measure.needles_by_layer(model, branches, None, None, count=2)
    once = [["mass"] * LAYERS, ["learned"] * LAYERS]
    for layer in range(LAYERS):
        for one, other in (("learned", "mass"), ("mass", "learned")):
            once.append([one if n == layer else other for n in range(LAYERS)])
    assert asked == once + once
    assert [row["length"] for row in rows] == [4096] * (LAYERS + 1) + [6144] * (LAYERS + 1)
    assert [row["layer"] for row in rows] == [None, *range(LAYERS)] * 2
    found = [(row["alone"], row["all_but"]) for row in rows]
    assert found == [(2, 1), (2, 1), (2, 1), (1, 2), (1, 0), (1, 0), (1, 0), (0, 1)]
    assert {row["of"] for row in rows} == {2}


def test_the_explorers_ranks_hold_every_budget(model, branches):
    ids = random_ids(1, 140)[0].numpy()
    found = explorer_data.trace_text(model, branches, ids, layers=(2, 0))
    assert found["rank"].shape == (2, 2, 140, 5)
    assert (found["rank"][:, :, 100, 3] == 0).all()
    assert (found["rank"][:, :, 100, 4] == explorer_data.IN_FUTURE).all()
    assert np.sort(found["mass_rank"][1, 1, 139]).tolist() == [0, 1, 2, 3, 4]
    mass = found["mass"].astype(np.float32)
    assert mass.sum(axis=-1) == pytest.approx(np.ones((2, 2, 140)), abs=5e-3)
    others = mass[0, 1, 139, :4]
    assert np.argsort(-others).tolist() == np.argsort(found["mass_rank"][0, 1, 139, :4]).tolist()


@pytest.mark.parametrize("text", ["plain", "你好, 世界", "a👩‍🚀b", "שלום é", "", "\ufffd\n\t"])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_tokens_show_whole_characters(text, size):
    encoded = text.encode()
    pieces = [encoded[n : n + size] for n in range(0, len(encoded), size)]
    texts = explorer_data.whole_characters(pieces)
    assert len(texts) == len(pieces)
    assert "".join(texts) == text
    for piece, shown in zip(pieces, texts):
        starts = sum(byte & 0xC0 != 0x80 for byte in piece)
        assert len(shown) == starts


def test_a_character_that_is_cut_off_is_marked():
    assert explorer_data.whole_characters([b"a\xe4", b"\xbd"]) == ["a\ufffd", ""]
    with pytest.raises(ValueError, match=r"pieces: got b'.xbd' first"):
        explorer_data.whole_characters([b"\xbd", b"a"])


def test_tokens_of_a_text_join_to_it():
    """A vocabulary of single bytes and some merges, written as GPT-2's tokenizers write them."""
    source = SimpleNamespace(vocabulary=["Ġ", "ä", "½", "ł", "ĠHi", "Ċ", "<|im_start|>"])
    ids = [4, 0, 1, 2, 3, 5, 6]
    texts = explorer_data.token_texts(source, ids)
    assert texts == [" Hi", " ", "你", "", "", "\n", "<|im_start|>"]


def test_the_alphabet_has_every_byte():
    assert sorted(explorer_data.byte_alphabet().values()) == list(range(256))


def test_a_record_counts_repeated_steps_once(tmp_path):
    lines = [{"step": i, "kl": float(i)} for i in range(5)]
    lines.append({"step": 0, "score_recall": [0.2, 0.4], "block_recall": [0.0, 0.2]})
    lines += [{"step": i, "kl": 10.0 + i} for i in range(3, 7)]
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    steps, recalls = make_record.read_log(path)
    assert [line["kl"] for line in steps] == [0, 1, 2, 13, 14, 15, 16]
    assert len(recalls) == 1
    assert make_record.short_run(path, "seed1")["score_recall"] == 0.3
    many = [{"step": i, "kl": float(i % 2)} for i in range(1000)]
    thinned = make_record.thin(many)
    assert len(thinned) == make_record.LOG_LINES
    assert thinned[-1]["step"] == 999
    assert 0.3 < thinned[5]["kl"] < 0.7


def test_a_record_is_made_of_what_the_runs_left(tmp_path):
    run, joint, tokens = (tmp_path / name for name in ("run", "joint", "tokens"))
    for folder in (run, joint):
        folder.mkdir()
    save_tokens({"train_code": np.arange(9, dtype=np.uint16)}, tokens, {"tokenizer": "none"})
    recalls = {"step": 0, "score_recall": [0.25, 0.75], "block_recall": [0.5, 0.5]}
    log = "\n".join(map(json.dumps, [recalls, {"step": 0, "kl": 2.0, "stage": "warm-up"}]))
    for path in (run / "log.jsonl", joint / "seed1.jsonl", joint / "cold.jsonl"):
        path.write_text(log)
    (run / "run.json").write_text('{"seed": 0}')
    parts = {
        name: [{"method": "learned"}] for name in ("recall", "agreement", "perplexity", "needles")
    }
    texts = {"seconds": {}, "texts": ["held_code"]}
    (run / "evaluation.json").write_text(json.dumps(parts | texts))
    (joint / "joint.json").write_text('[{"run": "dense", "steps": 1}]')
    for number in (0, 1):
        (run / f"index_{number}.safetensors").write_bytes(b"weights")
    about = {"gpu": "a GPU", "versions": {"torch": "2"}}
    record = make_record.make_record(run, joint, tokens, about)
    make_record.write_record(record, tmp_path / "learning.json")
    read = json.loads((tmp_path / "learning.json").read_text())
    assert read["header"]["gpu"] == "a GPU"
    assert read["header"]["tokens"]["sets"]["train_code"]["tokens"] == 9
    assert len(read["header"]["index"]["index_1.safetensors"]) == 64
    assert read["recall_curve"] == [recalls]
    assert read["training"] == [{"step": 0, "kl": 2.0, "stage": "warm-up"}]
    assert [short["name"] for short in read["short_runs"]] == ["seed1", "cold"]
    assert read["joint"] == [{"run": "dense", "steps": 1}]
    assert read["header"]["missing"] == [
        "by_layer: not run",
        "joint: not run: msa, no detach, no warm-up",
        "short_runs: not run: seed2, seed3, resumed, random",
        "perplexity: 1 of 2 rows, cut by the time limit",
    ]

    (joint / "joint.json").unlink()
    (joint / "seed1.jsonl").unlink()
    (joint / "cold.jsonl").unlink()
    for folder in (joint, None):
        record = make_record.make_record(run, folder, tokens, about)
        assert record["joint"] == record["short_runs"] == []
        missing = ["by_layer: not run", "short_runs: not run", "joint: not run"]
        assert record["header"]["missing"][:3] == missing
