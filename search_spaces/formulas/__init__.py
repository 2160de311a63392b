"""What each part of a network costs, operation by operation, in each form: the single description of every cost.

`part_ops` in `registry.py` is the way in. The files have the names of those in `blocks/`, which build the same parts in
torch.
"""
