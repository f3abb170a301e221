"""Recipes: found, read and composed with overrides. Nothing else imports Hydra.

Hydra composes; it never instantiates. A recipe may come from a stranger, so it is read here, under
limits, and whatever could run code or reach outside is refused before Hydra sees it.
"""
