"""Statistics as tables: titles, columns and rows of text, to be printed or written."""

from collections.abc import Sequence
from typing import NamedTuple

from mrcnn_keras.data.validation.statistics import MAX_SIDE, MIN_SIDE, QUANTILES, Statistics


class TextTable(NamedTuple):
    """A table; of each row, the first cell is text and the others are numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def statistics_tables(statistics: Statistics) -> list[TextTable]:
    """All that `Statistics` holds, for people to read."""
    return [_contents(statistics), _classes(statistics), _object_sizes(statistics), _quantiles(statistics)] + (
        [_image_sizes(statistics)] if statistics.common_sizes else []
    )


def as_markdown(table: TextTable) -> str:
    """The table in Markdown, under its title."""
    rule = ("---", *["---:"] * (len(table.columns) - 1))
    lines = [f"| {' | '.join(_escaped(row))} |" for row in (table.columns, rule, *table.rows)]
    return "\n".join([f"### {table.title}", "", *lines])


def _escaped(row: Sequence[str]) -> list[str]:
    return [cell.replace("|", "\\|").replace("\n", " ") for cell in row]


def _contents(statistics: Statistics) -> TextTable:
    rows = (
        ("images", statistics.images),
        ("images without annotations", statistics.images_without_annotations),
        ("objects", statistics.objects),
        ("crowds", statistics.crowds),
        ("images with crowds", statistics.images_with_crowds),
    )
    return TextTable("Contents", ("", "number"), tuple((name, str(value)) for name, value in rows))


def _classes(statistics: Statistics) -> TextTable:
    rows = []
    for one in statistics.classes:
        share = f"{one.objects / statistics.objects:.1%}" if statistics.objects else ""
        rows.append((one.name, str(one.objects), share, str(one.images), str(one.crowds)))
    return TextTable("Classes", ("class", "objects", "share", "images", "crowds"), tuple(rows))


def _object_sizes(statistics: Statistics) -> TextTable:
    limits = {"small": "up to 32 x 32", "medium": "between", "large": "above 96 x 96"}
    total = max(1, sum(statistics.object_sizes.values()))
    rows = [(f"{name} ({limits[name]})", str(n), f"{n / total:.1%}") for name, n in statistics.object_sizes.items()]
    return TextTable("Sizes of objects, pixels of the file", ("size", "objects", "share"), tuple(rows))


def _quantiles(statistics: Statistics) -> TextTable:
    columns = ("quantile", *("least" if q == 0 else "most" if q == 1 else f"{q:.0%}" for q in QUANTILES))
    given = {
        f"square root of area, image resized to {MIN_SIDE}/{MAX_SIDE}": statistics.object_sides,
        "image height": statistics.image_heights,
        "image width": statistics.image_widths,
    }
    rows = tuple((name, *(f"{value:g}" for value in values.values())) for name, values in given.items() if values)
    return TextTable("Objects as the network sees them, and images, in pixels", columns, rows)


def _image_sizes(statistics: Statistics) -> TextTable:
    rows = tuple((f"{width} x {height}", str(count)) for (height, width), count in statistics.common_sizes)
    return TextTable("Most frequent image sizes", ("width x height", "images"), rows)
