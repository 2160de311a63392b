"""What is done to recordings and features so that a network hears more than was recorded.

Features are augmented in every training step, waveforms once for each view of the clips, which is cached. All chance
comes from numpy generators on the host, not from torch: torch draws a Beta only from its global generator, and its
draws differ between processors, while these are equal everywhere.
"""
