"""Checkpoints that others have published, as networks of this project."""

from trainers.published.checkpoint import CheckpointError, Published, load_published
from trainers.published.layouts import BASE, LAYOUTS, Layout

__all__ = ["BASE", "LAYOUTS", "CheckpointError", "Layout", "Published", "load_published"]
