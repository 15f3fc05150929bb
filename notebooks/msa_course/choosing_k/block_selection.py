"""The block-selection explorer: which blocks a query reads, and what that leaves out, in words."""

from __future__ import annotations

import ipywidgets as widgets

from msa_course.choosing_k.selection_figure import render
from msa_course.choosing_k.selection_steps import (
    FORCED,
    NUM_GROUPS,
    NUM_TOKENS,
    heaviest_left_out,
    values,
)
from msa_course.explorer import Explorer, choice, slider

BLOCK_SIZES = (4, 8, 12, 16)


def words(
    query: int,
    group: int,
    top_k: int,
    block_size: int,
    init_blocks: int = 0,
    local_blocks: int = 1,
) -> str:
    """Which blocks this query reads, what they hold, and the heaviest one it leaves out."""
    steps = values(group, top_k, block_size, init_blocks, local_blocks)
    own, seen = query // block_size, query + 1
    chosen = [int(block) for block in steps.selection[query] if block >= 0]
    raised = f"k is raised to {steps.top_k} to hold the forced blocks. "
    who = f"{raised if steps.top_k > top_k else ''}Query {query} of group {group}"
    if own == 0:
        return f"{who} sees its own block, 0, alone and reads it: this is dense attention."
    if len(chosen) == own + 1:
        return f"{who} sees {own + 1} blocks and reads them all: this is dense attention."
    others = [block for block in chosen if block != own]
    forced = steps.states[query] == FORCED
    names = ", ".join(f"{block} (forced)" if forced[block] else str(block) for block in others)
    listed = f"block{'s' * (len(others) > 1)} {names}"
    if own not in chosen:
        listed = f"{listed} and not its own, {own}"
    else:
        listed = f"{listed} and its own, {own}" if others else f"its own block, {own}, alone"
    tokens = sum(min(block_size, seen - block * block_size) for block in chosen)
    mass = steps.mass[query]
    missed, share = heaviest_left_out(steps, query)
    best = f"the best {len(chosen)} blocks" if len(chosen) > 1 else "the best block"
    return (
        f"{who} reads {listed}: {tokens} of the {seen} tokens it sees. They hold "
        f"{mass[chosen].sum():.0%} of its attention; {best} would hold "
        f"{mass[steps.ideal[query]].sum():.0%}. The heaviest block left out is "
        f"{missed}, with {share:.0%}."
    )


def explorer() -> Explorer:
    """The explorer: which blocks one query of one group reads, and what became of the rest."""
    shell = Explorer(
        "Block-selection explorer",
        render,
        words,
        query=slider("query", 37, 0, NUM_TOKENS - 1),
        group=slider("group", 1, 0, NUM_GROUPS - 1),
        top_k=slider("k, blocks read", 4, 1, 8),
        block_size=choice("block size", BLOCK_SIZES, 4),
        init_blocks=slider("forced first blocks", 0, 0, 2),
        local_blocks=slider("forced last blocks", 1, 0, 2),
    )
    for control in shell.controls.values():
        control.layout.width = "min(26em, 95%)"
        control.style.description_width = "9.5em"
    sliders = widgets.HBox(list(shell.controls.values()), layout={"flex_flow": "row wrap"})
    shell.children = (sliders, shell.picture, shell.sentence)
    return shell
