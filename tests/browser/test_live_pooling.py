"""The pooling explorer in a browser: 50 moves, each with the numbers that Python computes."""

import numpy as np
from live_page import check_fits, check_is_quick, check_names, drive, show

from msa_course import live
from msa_course.index_branch import pooling, pooling_figure


def page_of_it():
    return live.html(pooling_figure.MODULE, pooling_figure.payload())


def check(settings, numbers):
    wanted = pooling.compute(**settings)
    for name in ("mass", "scores", "captured", "recall"):
        np.testing.assert_allclose(numbers[name], getattr(wanted, name), rtol=1e-6, err_msg=name)
    for name in ("chosen", "ideal"):
        np.testing.assert_array_equal(numbers[name], getattr(wanted, name), err_msg=name)


def test_every_move_shows_what_python_computes(page):
    drive(page, page_of_it(), check)


def test_it_is_quick_named_and_fits(page):
    show(page, page_of_it())
    check_names(page)
    check_is_quick(page)
    check_fits(page)
