"""The dtype policy of Keras within a block."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def keras_dtype_policy(name: str) -> Iterator[None]:
    """Set the dtype policy of the layers that are made within the block.

    Args:
        name: such as "float32" or "mixed_bfloat16".
    """
    import keras

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
