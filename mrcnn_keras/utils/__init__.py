"""Tools that know nothing of object detection: every other room may use them."""
