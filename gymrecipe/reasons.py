"""Reasons: why a line or a rollout is not used, in words."""

from __future__ import annotations

from gymrecipe.rollouts.bad_reasons import BAD_LINE
from gymrecipe.rollouts.chat import UNUSABLE

FATES = {
    "task_unclear": "the line does not say which of several tasks with its prompt it answers",
    "only_one": "the only usable rollout of its task, so there is nothing to compare it with",
    "prompts_differ": "no other rollout of its task was shown the same prompt",
    "all_equal": "all rollouts of the task have the same value",
    "no_high": "no rollout of the task is in the high tier",
    "no_low": "no rollout of the task is in the low tier",
    "tied": "the two that were to be paired have the same value",
    "gap_too_small": "no chosen one that was to be paired is better by min_gap",
    "gap_too_large": "those that were to be paired differ by more than max_gap, or than any number",
    "identical_answers": "those that were to be paired say the same",
    "not_selected": "its task gave pairs, without this rollout",
}
"""Why a rollout is in no pair: the fate of its task, from the furthest to the nearest to a pair, or
`not_selected`.
"""

MEANINGS = {
    **BAD_LINE,
    **UNUSABLE,
    **FATES,
    "partner_rejected": "the other side of its pair could not be written",
    "over_quota": "its group had as many rows as balance allows",
    "over_limit_tasks": "its task is beyond limit_tasks",
    "not_sampled": "not drawn in its band",
    "between": "neither desirable nor undesirable",
    "duplicate": "another rollout is the same",
    "where": "the expression `where` does not hold",
    "undecided": "the expression `where` divides by zero, and neither holds nor does not",
    "truncated": "cut off by a token limit or a filter",
    "failed": "the run broke: an error or a failure class is recorded",
    "masked": "marked `mask_sample`: not to be trained on",
    "empty": "neither text nor a tool call came back",
    "no_success": "its field `success` is not true",
    "no_tool_usage": "it calls no tool",
}
"""Each reason in words; those with a name in them are in `meaning`."""


def meaning(reason: str) -> str:
    """A reason in words; empty for one of a plugin."""
    if reason in MEANINGS:  # such as missing_tools, which is of no column
        return MEANINGS[reason]
    for prefix, words in (
        ("missing_", "it has no value for"),
        ("below_min_", "below the least allowed"),
        ("above_max_", "above the most allowed"),
    ):
        if reason.startswith(prefix):
            return f"{words} {reason.removeprefix(prefix)}"
    return ""
