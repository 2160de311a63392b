"""What an architecture is: choices, encoding and identity, exact cost, budget, blocks, and the known designs.

The plain half (architecture, choices, cost, budget, designs) never imports torch; the torch half is `blocks`,
`network` and `folding`.
"""
