"""Pictures to train on, and how they reach the trainer."""
