"""Class names that a user chooses among those of an annotation file."""

from collections.abc import Collection, Sequence

# Names listed in a message.
_LISTED = 20


def check_wanted(wanted: Sequence[str]) -> None:
    """Raises ValueError unless `wanted` is a list of one or more names, no two the same."""
    if isinstance(wanted, str) or not len(wanted) or len(set(wanted)) < len(wanted):
        raise ValueError(f"classes must be a list of names, no two the same, got {wanted!r}")


def listed(names: Collection[str]) -> str:
    """Names for a message, quoted, in their order; the first 20 of many."""
    return ", ".join(repr(name) for name in list(names)[:_LISTED]) + ", ..." * (len(names) > _LISTED)
