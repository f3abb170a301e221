"""Models: one line of each format and purpose as pydantic reads it, for `check` and for tests.

A module here is named as its format, and `line`, `parts`, `chat` and `cautions` are what several of
them share. `LINES` has the model of a line for each purpose, `traps` says of a line that the model
accepts what the trainer would do to it all the same. No run of a recipe imports any of this.
"""
