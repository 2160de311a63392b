"""Students in whole numbers: every weight and every map in int8, taught so, from the folded network.

`torchao` rounds during training and makes the graph that is deployed; what is rounded is ours to say (`rounding.py`).
"""

from trainers.int8.network import Int8Network

__all__ = ["Int8Network"]
