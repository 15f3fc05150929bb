"""nbval loads every rule of the sanitize file: it drops malformed ones without a word."""

import re

import course
from nbval.plugin import get_sanitize_patterns

RULES = (course.ROOT / "tests" / "nbval_sanitize.cfg").read_text(encoding="utf-8")


def meant(text):
    """Regexes of the rules somebody meant to write, however malformed."""
    return re.findall(r"^regex:[ \t]*(.*?)[ \t]*$", text, flags=re.MULTILINE)


def loaded(text):
    return [regex for regex, _ in get_sanitize_patterns(text)]


def test_every_rule_is_loaded():
    assert loaded(RULES) == meant(RULES)


def test_every_rule_is_a_regular_expression_that_does_not_match_everything():
    for regex in loaded(RULES):
        assert not re.fullmatch(regex, "42.195"), regex


def test_the_traps_are_seen():
    good = "[seconds]\nregex: \\d+ seconds\nreplace: N seconds\n"
    assert loaded(good) == meant(good) == ["\\d+ seconds"]
    for bad in (
        good.replace("replace: N seconds", "replace:"),
        good.replace("\nreplace", "\n\nreplace"),
    ):
        assert meant(bad) == ["\\d+ seconds"]
        assert loaded(bad) == []


def test_the_run_uses_this_file():
    arguments = (course.ROOT / "tests" / "nbval.args").read_text(encoding="utf-8").splitlines()
    assert "--nbval" in arguments
    assert "--nbval-sanitize-with=tests/nbval_sanitize.cfg" in arguments
    assert "@tests/nbval.args" in (course.ROOT / "Makefile").read_text(encoding="utf-8")
