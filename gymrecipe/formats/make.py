"""Make: the example of one row, in the canonical form that every format encodes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gymrecipe.formats.custom import parts
from gymrecipe.formats.example import Example
from gymrecipe.formats.job import WriteJob
from gymrecipe.formats.sources import Sources
from gymrecipe.formats.verifier import agent_of, fields_of, is_row_of, request_of, verifies
from gymrecipe.registry import FORMATS
from gymrecipe.rollouts.chat import Conversation, Message, Unusable
from gymrecipe.rollouts.messages import asked, conversation
from gymrecipe.rollouts.sides import equal, part, same
from gymrecipe.rollouts.whole_line import check

Made = TypeVar("Made")


def example_of(job: WriteJob, sources: Sources, row: int, lines: tuple[bytes, ...]) -> Example:
    """The example of a row and its lines, without its columns. Raises Unusable."""
    example = Example(
        purpose=job.purpose,
        lines=lines,
        values={},
        index=job.slots[row] if job.slots else job.first + row,
        split=job.split,
        template=job.template,
        **{name: values[row] for name, values in job.own.items()},
    )
    if job.purpose == "rl":
        _ask(example, job, sources, row)
    elif _has_messages(job):
        _speak(example, job)
    else:
        _each(example.lines, check)
    return example


def _each(lines: tuple[bytes, ...], read: Callable[[bytes], Made]) -> list[Made]:
    """What is made of each line; a fault says of which."""
    made = []
    for side, line in enumerate(lines):
        try:
            made.append(read(line))
        except Unusable as fault:
            raise Unusable(fault.reason, side, fault.cause) from None
        except RecursionError:
            raise Unusable("too_deep", side) from None
    return made


def _has_messages(job: WriteJob) -> bool:
    if job.format == "custom":
        return any(source in parts(job.purpose) for source in job.columns.values())
    return job.format != "raw"


def _ask(example: Example, job: WriteJob, sources: Sources, row: int) -> None:
    line = known = example.lines[0]
    if speaks := _has_messages(job):
        example.prompt, tools = asked(line, job.reading, FORMATS[job.format].copies_request)
        example.tools = tools if job.has_tools else None
    else:
        check(line)
    has_input = job.inputs is not None and job.inputs.bytes[row] > 0
    if job.inputs and has_input and speaks:
        known = sources.read(job.inputs, row)
        check(known)
        if not is_row_of(known, line):
            raise Unusable("inputs_differ")
    # An environment may add to what it was asked (a first card, drawn); an input row has it as it
    # was, to be asked again.
    example.request = request_of(known)
    example.agent = agent_of(known) or agent_of(line) or job.agent
    example.verifier = fields_of(known, has_input, job.verifier_fields)
    is_whole = has_input or job.verifier_fields is not None
    example.unverifiable = not verifies(example.verifier, is_whole)


def _speak(example: Example, job: WriteJob) -> None:
    spoken = _each(example.lines, lambda line: conversation(line, job.reading))
    if job.has_tools and (job.format != "custom" or "tools" in job.columns.values()):
        example.tools = spoken[0].tools
    example.refused = any(side.refused for side in spoken)
    example.joined = any(side.joined for side in spoken)
    if len(spoken) == 1:
        example.prompt, example.completion = spoken[0].prompt, spoken[0].completion
    elif job.across_prompts:
        example.chosen, example.rejected = (_whole(side) for side in spoken)
        if example.tools is not None and not equal(spoken[0].tools, spoken[1].tools):
            raise Unusable("prompts_differ")
        if same(example.chosen, example.rejected):
            raise Unusable("identical_answers")
    else:
        chosen, rejected = spoken
        example.prompt, example.chosen, example.rejected = part(
            chosen, rejected, job.pairs_at, job.reading.repeated_call_ids
        )


def _whole(conversation: Conversation) -> list[Message]:
    return [*conversation.prompt, *conversation.completion]
