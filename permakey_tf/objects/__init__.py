"""Ground truth: boxes of a game's objects, read, checked, named and linked."""
