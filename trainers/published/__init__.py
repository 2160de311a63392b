"""Checkpoints that others have published, as networks of this project."""

from trainers.published.checkpoint import (
    CheckpointError,
    Published,
    check_tensors,
    is_published,
    load_published,
    read_state,
)
from trainers.published.layouts import BASE, LAYOUTS, Layout

__all__ = [
    "BASE",
    "LAYOUTS",
    "CheckpointError",
    "Layout",
    "Published",
    "check_tensors",
    "is_published",
    "load_published",
    "read_state",
]
