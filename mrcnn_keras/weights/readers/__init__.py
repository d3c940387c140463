"""Safe readers of checkpoint files: nothing in a file is run."""
