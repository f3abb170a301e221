"""The formats: one file per form that a trainer reads. This list is the table of contents."""

from gymrecipe.formats import custom, messages, raw, trl

__all__ = ["custom", "messages", "raw", "trl"]
