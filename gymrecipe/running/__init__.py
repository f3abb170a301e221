"""Running: a plan becomes a version. It begins in `executor`."""
