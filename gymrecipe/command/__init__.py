"""The command: its words, verbs and help, and what it says. It begins in `gymrecipe.cli`."""
