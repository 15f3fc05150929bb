"""Errors that tell a reader what to do and need no traceback."""


class OneLine:
    """Mixin of an exception: its message is all that IPython shows."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]
