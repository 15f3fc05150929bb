"""The course as one picture: its parts, the question each answers, and the lessons in order."""

from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    """A part of the course: its name, its question, and its lessons by the name of their file."""

    name: str
    question: str
    lessons: dict[str, str]


PARTS = (
    Part("The news", "What happened?", {"the_news": "The news"}),
    Part(
        "Attention",
        "What does a model read,\nand what does it cost?",
        {
            "dense_attention": "Dense attention",
            "attention_is_mostly_empty": "Attention is mostly empty",
            "which_blocks_would_you_read": "Which blocks would you read?",
            "what_a_million_tokens_cost": "What a million tokens cost",
        },
    ),
    Part(
        "MSA",
        "How are 16 shelves found,\nand how are they read?",
        {
            "blocks": "Blocks",
            "index_branch": "The index branch",
            "choosing_k": "Choosing k",
            "exact_on_what_was_chosen": "Exact on what was chosen",
            "two_orders_of_work": "Two orders of work",
            "the_whole_layer": "The whole layer",
        },
    ),
    Part("Learning", "Who writes the cards?", {"teaching_the_index": "Teaching the index"}),
    Part(
        "Kernels",
        "How does a GPU\nmake it fast?",
        {
            "triton_on_the_cpu": "Triton on the CPU",
            "index_score_and_top_k": "Index score and top-k",
            "block_sparse_prefill": "Block-sparse prefill",
            "sparse_decode": "Sparse decode",
            "measured": "Measured",
        },
    ),
    Part("The world", "Who else does this?", {"the_family_album": "The family album"}),
)


def lessons() -> list[str]:
    """The names of all lessons' files, in order, without their numbers."""
    return [lesson for part in PARTS for lesson in part.lessons]
