"""gymrecipe: declarative recipes that turn scored rollouts into versioned training datasets."""

__version__ = "0.1.0"
