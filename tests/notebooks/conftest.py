"""After the gates, a table of what they measured in each lesson."""

import statistics

import course


def pytest_terminal_summary(terminalreporter):
    terminalreporter.section("lessons")
    line = "{:<32}{:>6}{:>10}{:>7}{:>9}{:>10}{:>12}{:>5}"
    titles = ("lesson", "cells", "compared", "lines", "figures", "explorers", "words/line", "kB")
    terminalreporter.write_line(line.format(*titles))
    for path in course.LESSONS:
        notebook = course.read(path)
        cells = course.code_cells(notebook)
        compared = sum(map(course.is_compared, cells)) / len(cells)
        lines = [course.num_lines(cell) for cell in cells]
        words = len(course.prose(notebook).split()) / sum(lines)
        row = (len(cells), f"{compared:.0%}", f"{statistics.median(lines):g}")
        row += (*course.pictures(notebook), f"{words:.0f}", path.stat().st_size // 1000)
        terminalreporter.write_line(line.format(course.name(path), *row))
