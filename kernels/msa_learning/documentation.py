"""Python's own documentation, which the standard library carries as text."""

from __future__ import annotations


def documentation_topics() -> dict[str, str]:
    """Texts of Python's documentation topics by name, about 0.5 MB in all.

    Browser builds of Python lack them: ModuleNotFoundError.
    """
    try:
        from pydoc_data.topics import topics
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "pydoc_data: this Python has no documentation topics; use one from python.org, conda "
            "or a Linux distribution"
        ) from error
    return topics
