"""`python -m gymrecipe`."""

import os
import sys

# Python looks for modules in the folder of the call first, and in it may lie what a stranger sent
# with the recipe: a yaml.py, a `hydra_plugins`, a `*.dist-info` that names a plugin. The command
# `gymrecipe` does not look there; `--plugin` does, when it is asked to.
if not sys.flags.safe_path and os.path.realpath(sys.path[0]) != os.path.dirname(
    os.path.dirname(os.path.realpath(__file__))
):
    del sys.path[0]

from gymrecipe.cli import console

if __name__ == "__main__":
    console()
