"""How the served graph turns a photo, for a client that wants to know; `exif` is the same rule in the graph."""

import struct

PNG = b"\x89PNG\r\n\x1a\n"
# Of JPEG: application data, where EXIF is; the pixels and the end of the file.
APP1, SCAN, END = 0xE1, 0xDA, 0xD9
TIFF, TAG, SHORT, LONG = 42, 0x0112, 3, 4
# Where the search ends, so that no file keeps the server busy: fill bytes passed over at once, and things looked at.
FILL, MOST_SEGMENTS, MOST_CHUNKS, MOST_ENTRIES = 65536, 1024, 4096, 1024


def served_orientation(content: bytes) -> int:
    """EXIF orientation 1..8 that the served graph applies to a JPEG or PNG file.

    It is in the first EXIF segment of a JPEG or the first chunk "eXIf" of a PNG, if that is one of the first 1024
    segments or 4096 chunks. Pillow looks at XMP and texts too.

    Args:
        content: the file's bytes, the beginning of which says that it is one of the two.
    """
    start = _in_png(content) if content.startswith(PNG) else _in_jpeg(content)
    return 1 if start is None else _orientation_at(content, start)


def _in_jpeg(content: bytes) -> int | None:
    """Where the EXIF data begin."""
    at = 2
    for _ in range(MOST_SEGMENTS):
        if at + 4 > len(content) or content[at] != 0xFF or content[at + 1] in (SCAN, END):
            break
        if content[at + 1] == APP1 and content.startswith(b"Exif\0\0", at + 4):
            return at + 10
        fill = content[at + 1 : at + 1 + FILL]
        skipped = len(fill) - len(fill.lstrip(b"\xff"))
        at += skipped or 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return None


def _in_png(content: bytes) -> int | None:
    at = 8
    for _ in range(MOST_CHUNKS):
        if at + 12 > len(content):
            break
        if content.startswith(b"eXIf", at + 4):
            return at + 8
        at += 12 + int.from_bytes(content[at : at + 4], "big")
    return None


def _orientation_at(content: bytes, start: int) -> int:
    order = {b"II": "<", b"MM": ">"}.get(content[start : start + 2])
    if order is None or len(content) < start + 8:
        return 1
    mark, offset = struct.unpack_from(order + "HI", content, start + 2)
    if mark != TIFF or offset == 0 or start + offset + 2 > len(content):
        return 1
    (count,) = struct.unpack_from(order + "H", content, start + offset)
    found = [1]
    for number in range(min(count, MOST_ENTRIES)):
        place = start + offset + 2 + 12 * number
        if place + 12 > len(content):
            break
        tag, kind, length = struct.unpack_from(order + "HHI", content, place)
        if tag == TAG and kind in (SHORT, LONG) and length == 1:
            (value,) = struct.unpack_from(order + ("H" if kind == SHORT else "I"), content, place + 8)
            found.append(value if 1 <= value <= 8 else 1)
    return max(found)
