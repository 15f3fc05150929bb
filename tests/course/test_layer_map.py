"""The drawing of the layer names MiniMax-M3's sizes, and every text stays inside."""

import matplotlib as mpl

from msa_course.explorer import new_figure
from msa_course.whole_layer import layer_map


def drawn():
    with mpl.rc_context({"font.size": 10}):
        figure = new_figure(9, 4.1)
        layer_map.draw(figure.subplots())
        figure.canvas.draw()
    return figure


def test_it_names_the_sizes():
    texts = {text.get_text() for text in drawn().axes[0].texts}
    assert {"query\n64 x 128", "key\n4 x 128", "index key\n1 x 128"} <= texts
    assert "score every page,\nchoose 16" in texts
    assert "one token\n6,144 numbers" in texts


def test_no_text_leaves_the_figure():
    figure = drawn()
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        assert figure.bbox.containsx(box.x0), text
        assert figure.bbox.containsx(box.x1), text
        assert figure.bbox.containsy(box.y0), text
        assert figure.bbox.containsy(box.y1), text
