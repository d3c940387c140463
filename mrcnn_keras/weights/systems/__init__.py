"""What the tensors of each system are called and how they lie, and what its files leave unsaid."""
