"""What a study remembers and shows: SQL storage, trial records, front, hypervolume, the best, figures, report."""
