"""The blocks in torch. A module that has a simpler form for deployment says so itself: see `folding.Foldable`."""
