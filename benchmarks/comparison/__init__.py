"""What `compare.py` is made of: the work, the contestants' processes, the rounds, the tables."""
