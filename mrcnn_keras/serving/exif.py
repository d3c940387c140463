"""EXIF orientation of JPEG and PNG files as stock TensorFlow operations; `orientation` is the same rule in Python."""

import tensorflow as tf

from mrcnn_keras.serving import orientation as rule
from mrcnn_keras.serving.orientation import APP1, END, LONG, SCAN, SHORT, TAG, TIFF

_UPRIGHT = 1


def jpeg_orientation(data: tf.Tensor) -> tf.Tensor:
    """What the first EXIF segment before the pixels says, 1..8; 1 where there is none or it is damaged.

    Args:
        data: (N,) uint8, the file; not empty.
    """

    def more(at: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
        marker = _byte(data, at + 1)
        here = (_byte(data, at) == 0xFF) & (marker != SCAN) & (marker != END)
        return (found < 0) & here & (at + 4 <= tf.size(data))

    def step(at: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        is_exif = (_byte(data, at + 1) == APP1) & _reads(data, at + 4, b"Exif\0\0")
        is_fill = _byte(data, at + 1) == 0xFF
        length = tf.cond(is_fill, lambda: _fill_length(data, at + 1), lambda: 2 + _number(data, at + 2, 2))
        return at + length, tf.where(is_exif, at + 10, found)

    _, found = tf.while_loop(more, step, (2, -1), maximum_iterations=rule.MOST_SEGMENTS)
    return _orientation_at(data, found)


def png_orientation(data: tf.Tensor) -> tf.Tensor:
    """What the chunk "eXIf" says, 1..8; 1 where there is none or it is damaged; argument as above."""

    def more(at: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
        return (found < 0) & (at + 12 <= tf.size(data))

    def step(at: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        length = tf.minimum(_number(data, at, 4), tf.size(data))  # a damaged one ends the search
        length = tf.where(length < 0, tf.size(data), length)
        return at + 12 + length, tf.where(_reads(data, at + 4, b"eXIf"), at + 8, found)

    _, found = tf.while_loop(more, step, (8, -1), maximum_iterations=rule.MOST_CHUNKS)
    return _orientation_at(data, found)


def turn_upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """An image as it should be seen.

    Args:
        image: (H, W, C).
        orientation: 1..8; from 5 on height and width change places.
    """

    def turned() -> tf.Tensor:
        swapped = tf.cond(orientation >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
        rows, columns = (tf.reduce_any(orientation == which) for which in ([3, 4, 7, 8], [2, 3, 6, 7]))
        swapped = tf.cond(rows, lambda: tf.reverse(swapped, [0]), lambda: swapped)
        return tf.cond(columns, lambda: tf.reverse(swapped, [1]), lambda: swapped)

    return tf.cond(orientation == _UPRIGHT, lambda: image, turned)


def _orientation_at(data: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """The orientation in the TIFF structure from `start` on, which is -1 where there is none."""
    little = _reads(data, start, b"II")
    entries = start + _number(data, start + 4, 4, little)
    count = _number(data, entries, 2, little)
    marked = (little | _reads(data, start, b"MM")) & (_number(data, start + 2, 2, little) == TIFF)
    sound = (start >= 0) & marked & (entries > start) & (entries < tf.size(data))
    places = entries + 2 + 12 * tf.range(tf.where(sound, tf.clip_by_value(count, 0, rule.MOST_ENTRIES), 0))
    kinds = _number(data, places + 2, 2, little)
    usable = (_number(data, places, 2, little) == TAG) & (places + 12 <= tf.size(data))
    values = tf.where(kinds == SHORT, _number(data, places + 8, 2, little), _number(data, places + 8, 4, little))
    usable &= ((kinds == SHORT) | (kinds == LONG)) & (_number(data, places + 4, 4, little) == 1)
    usable &= (values >= 1) & (values <= 8)
    return tf.reduce_max(tf.concat([[_UPRIGHT], tf.where(usable, values, _UPRIGHT)], axis=0))


def _fill_length(data: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    """How many bytes 0xFF there are from `at` on, where there is one; so many at most as are passed over at once."""
    is_fill = tf.cast(data[at : at + rule.FILL] == 0xFF, tf.int32)
    return tf.where(tf.reduce_min(is_fill) == 1, tf.size(is_fill), tf.argmin(is_fill, output_type=tf.int32))


def _byte(data: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    """Bytes of a file that is not empty as int32, 0 outside."""
    last = tf.size(data) - 1
    return tf.where((at >= 0) & (at <= last), tf.cast(tf.gather(data, tf.clip_by_value(at, 0, last)), tf.int32), 0)


def _number(data: tf.Tensor, at: tf.Tensor, length: int, little: tf.Tensor | bool = False) -> tf.Tensor:
    """Unsigned numbers of some bytes as int32; those that are too large for it are negative."""
    parts = [_byte(data, at + place) for place in range(length)]
    big = sum(part * 256 ** (length - 1 - place) for place, part in enumerate(parts))
    small = sum(part * 256**place for place, part in enumerate(parts))
    return tf.where(little, small, big)


def _reads(data: tf.Tensor, at: tf.Tensor, text: bytes) -> tf.Tensor:
    """Whether the file has these bytes at a place."""
    return tf.reduce_all([_byte(data, at + place) == value for place, value in enumerate(text)])
