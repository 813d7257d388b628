"""One row, two rows: sentences that agree with their numbers."""

from __future__ import annotations


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 tab`, `3 tabs`; with `many` given, `1 row repeats` and `3 rows repeat`."""
    return f"{count} {agreeing(count, one, many or f'{one}s')}"


def agreeing(count: int, one: str, many: str) -> str:
    """The form that goes with `count`, for where the number stands elsewhere: `1 of 30 rows` *has*, `2` *have*."""
    return one if count == 1 else many
