"""What the graph that is being traced is for; TensorFlow says so in modules that are not public."""

import tensorflow as tf


def compiling_with_xla() -> bool:
    """Whether XLA will compile the graph: it has no shapes that depend on values, and stock operations only."""
    try:
        from tensorflow.python.ops import control_flow_util
    except ImportError:
        return False
    return not tf.executing_eagerly() and control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def saving() -> bool:
    """Whether the graph is traced to be written into a SavedModel."""
    try:
        from tensorflow.python.saved_model import save_context
    except ImportError:
        return False
    return save_context.in_save_context()
