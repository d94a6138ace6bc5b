"""Checkpoints of other libraries in, exported models out."""
