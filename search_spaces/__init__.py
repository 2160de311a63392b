"""What an architecture is: parts, choices, encoding and identity, exact cost, budget, blocks, and the known designs.

The torch half is `blocks`, `network` and `folding`; everything else never imports torch.
"""
