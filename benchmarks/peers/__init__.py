"""One file a contestant of `compare.py`; each runs in a process and with an interpreter of its own."""
