"""Planning: a recipe becomes steps, with every fault of it told before a byte is read."""
