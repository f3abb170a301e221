"""`python -m gymrecipe`."""

from gymrecipe.cli import console

if __name__ == "__main__":
    console()
