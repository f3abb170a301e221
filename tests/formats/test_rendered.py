"""The format `rendered`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gymrecipe.errors import RecipeError
from gymrecipe.formats.example import Example
from gymrecipe.formats.guide import Written
from gymrecipe.formats.rendered import guide, rendered
from gymrecipe.formats.template import Template, read_template
from gymrecipe.registry import FORMATS
from gymrecipe.rollouts.chat import Message, Unusable
from tests.formats.conversations import ACTED, NOW, PROMPT, TOOLS

ASKED = Message("user", "2+2?")
SAID = Message("assistant", "4")
WRONG = Message("assistant", "5")
CHAT = """\
{%- if tools %}{{ "tools: " + tools | tojson + "\n" }}{% endif %}
{%- for message in messages %}
{{- "<" + message.role + ">" + message.content }}
{%- for call in message.tool_calls or [] %}
{{- "call " + call.function.name + call.function.arguments | tojson }}
{%- endfor %}
{{- "</s>\n" }}
{%- endfor %}
{%- if add_generation_prompt %}{{ "<assistant>" }}{% endif %}"""


def template(folder: Path, text: str = CHAT) -> Template:
    path = folder / "chat.jinja"
    path.write_text(text)
    return read_template(None, str(path))


def test_a_demonstration_is_two_texts_of_which_one_goes_on_where_the_other_ends(
    tmp_path: Path,
) -> None:
    example = Example("sft", (), {"reward": 1.0}, prompt=[ASKED], completion=[SAID])
    example.template = template(tmp_path)
    assert rendered(example) == {
        "prompt": "<user>2+2?</s>\n<assistant>",
        "completion": "4</s>",
        "reward": 1.0,
    }


def test_tools_and_calls_are_in_the_text(tmp_path: Path) -> None:
    example = Example("sft", (), {}, prompt=PROMPT, completion=ACTED, tools=TOOLS)
    example.template = template(tmp_path)
    found = rendered(example)
    assert found["prompt"].startswith('tools: [{"type": "function", "function": {"name": "find",')
    calls = '{"q": "é", "n": 1e+22, "w": 9007199254740993, "x": null}call now{}</s>\n<tool>here</s>'
    assert found["completion"].startswith(f"call find{calls}")


def test_a_pair_has_two_sides_and_a_margin_for_a_reward_model_only(tmp_path: Path) -> None:
    sides: dict[str, Any] = {"prompt": [ASKED], "chosen": [SAID], "rejected": [WRONG]}
    pair = Example("dpo", (), {}, **sides, margin=0.5, template=template(tmp_path))
    assert list(rendered(pair)) == ["prompt", "chosen", "rejected"]
    assert (rendered(pair)["chosen"], rendered(pair)["rejected"]) == ("4</s>", "5</s>")
    assert rendered(msgspec.structs.replace(pair, purpose="reward_model"))["margin"] == 0.5


def test_a_pair_whose_sides_the_template_prints_the_same_is_refused(tmp_path: Path) -> None:
    thought = Message("assistant", "4", reasoning_content="Hm.")
    pair = Example("dpo", (), {}, prompt=[ASKED], chosen=[SAID], rejected=[thought])
    pair.template = template(tmp_path)
    with pytest.raises(Unusable, match="identical_answers"):
        rendered(pair)


def test_a_labelled_completion_has_a_boolean(tmp_path: Path) -> None:
    example = Example("kto", (), {}, prompt=[ASKED], completion=[SAID], label=False)
    example.template = template(tmp_path)
    assert rendered(example)["label"] is False


def test_a_task_is_a_prompt_that_opens_the_answer(tmp_path: Path) -> None:
    verifier = {"answer": Raw(b'"4"')}
    example = Example("rl", (), {}, prompt=[ASKED], verifier=verifier)
    example.template = template(tmp_path)
    assert rendered(example) == {
        "prompt": "<user>2+2?</s>\n<assistant>",
        "verifier": '{"answer":"4"}',
    }


def test_line_ends_that_the_answer_has_itself_stay(tmp_path: Path) -> None:
    text = "{% for m in messages %}{{ m.role + ':' + m.content + '\n' }}{% endfor %}"
    example = Example("sft", (), {}, prompt=[ASKED], completion=[Message("assistant", "4\n\n")])
    example.template = template(tmp_path, text)
    assert rendered(example)["completion"] == "assistant:4\n\n\n"


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (Message("assistant", "4\n\n"), "4\n\n</s>"),
        (Message("assistant", "<think>\nHm.\n</think>\n\n", tool_calls=[NOW]),
         "<think>\nHm.\n</think>\n\ncall now{}</s>"),
        (Message("assistant", "\n\n", tool_calls=[NOW]), "\n\ncall now{}</s>"),
    ],
)  # fmt: skip
def test_after_the_end_mark_no_line_end_stays_whatever_the_text_ends_on(
    said: Message, text: str, tmp_path: Path
) -> None:
    example = Example("sft", (), {}, prompt=[ASKED], completion=[said])
    example.template = template(tmp_path)
    assert rendered(example)["completion"] == text


def test_a_prompt_that_is_printed_otherwise_before_an_answer_is_refused(tmp_path: Path) -> None:
    text = CHAT + "{% if add_generation_prompt %}{{ '<think>' }}{% endif %}"
    example = Example("sft", (), {}, prompt=[ASKED], completion=[SAID])
    example.template = template(tmp_path, text)
    with pytest.raises(Unusable, match="not_a_continuation"):
        rendered(example)


def test_an_answer_that_is_not_printed_is_refused(tmp_path: Path) -> None:
    text = "{% for m in messages if m.role != 'assistant' %}{{ m.content }}{% endfor %}"
    example = Example("sft", (), {}, prompt=[ASKED], completion=[SAID])
    example.template = template(tmp_path, text)
    with pytest.raises(Unusable, match="not_a_continuation"):
        rendered(example)


def test_a_call_or_tool_that_the_template_does_not_print_is_refused(tmp_path: Path) -> None:
    text = CHAT.replace("message.tool_calls or []", "[]")
    example = Example("sft", (), {}, prompt=PROMPT, completion=ACTED, tools=TOOLS)
    example.template = template(tmp_path, text)
    with pytest.raises(Unusable, match="not_rendered"):
        rendered(example)
    task = Example("rl", (), {}, prompt=[ASKED], tools=TOOLS)
    task.template = template(tmp_path, CHAT.replace("if tools", "if false"))
    with pytest.raises(Unusable, match="not_rendered"):
        rendered(task)


THINKS = CHAT.replace('"<assistant>"', '"<assistant>" + ("<think>" if thinking != 0 else "")')


def parted(folder: Path, text: str, said: Message, *asked: Message) -> str:
    example = Example("sft", (), {}, prompt=[*asked, ASKED], completion=[said])
    example.template = template(folder, text)
    with pytest.raises(Unusable, match="not_a_continuation") as caught:
        rendered(example)
    return caught.value.cause


def test_a_prompt_that_opens_thoughts_which_the_answer_lacks_is_told_as_that(
    tmp_path: Path,
) -> None:
    said = "the prompt ends on '<assistant><think>', which opens thoughts; the answer has none"
    assert (
        parted(tmp_path, THINKS, SAID) == f"{said}; chat_template_kwargs may close them: thinking"
    )
    always = CHAT.replace('"<assistant>"', '"<assistant>[THINK]\\n"')
    assert parted(tmp_path, always, SAID).endswith("which opens thoughts; the answer has none")


def test_an_argument_closes_the_thoughts_that_a_prompt_opens(tmp_path: Path) -> None:
    (tmp_path / "chat.jinja").write_text(THINKS)
    example = Example("sft", (), {}, prompt=[ASKED], completion=[SAID])
    example.template = read_template(None, str(tmp_path / "chat.jinja"), {"thinking": 0})
    assert rendered(example) == {"prompt": "<user>2+2?</s>\n<assistant>", "completion": "4</s>"}


def test_where_a_conversation_parts_from_its_prompt_is_told(tmp_path: Path) -> None:
    thought = Message("assistant", "4", reasoning_content="Hm.")
    assert parted(tmp_path, THINKS, thought) == (
        "the prompt ends on '<assistant><think>', and the answer is printed without it"
    )
    last = CHAT.replace("message.content", "(message.content if loop.last else 'x')")
    assert parted(tmp_path, last, SAID) == (
        "the template prints what comes before the answer otherwise once it follows"
    )
    users = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
    assert parted(tmp_path, users, SAID) == "the template prints nothing of the answer"
    alone = (
        "{% if not (add_generation_prompt or messages[1:]) %}{{ raise_exception('') }}{% endif %}"
    )
    assert "prints what comes before the answer" in parted(tmp_path, THINKS + alone, SAID)


def test_messages_that_the_template_raises_at_are_refused(tmp_path: Path) -> None:
    text = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    example = Example("rl", (), {}, prompt=PROMPT, template=template(tmp_path, text))
    with pytest.raises(Unusable, match="template_refused"):
        rendered(example)


def test_without_a_template_it_says_what_to_give() -> None:
    with pytest.raises(RecipeError, match="tokenizer=<folder> or chat_template=<file>"):
        rendered(Example("rl", (), {}, prompt=PROMPT))


@pytest.mark.parametrize("purpose", FORMATS["rendered"].purposes)
def test_the_guide_says_that_the_special_tokens_are_there(purpose: Any) -> None:
    files = {"train": ["data/train.parquet"]}
    made = guide(Written(purpose, "mine", "data", files, True, False, 30_000))
    assert 'load_dataset("parquet", data_files={' in made.load[0][1]
    assert any("add_special_tokens=False" in note for note in made.notes)


def test_the_guide_says_what_the_template_was_given() -> None:
    files = {"train": ["data/train.jsonl"]}
    made = guide(Written("sft", "mine", "data", files, True, False, 30_000, ("thinking", "<b>")))
    assert any(note.startswith("The template was given `thinking` (") for note in made.notes)
    plain = guide(Written("sft", "mine", "data", files, True, False, 30_000))
    assert not any("was given" in note for note in plain.notes)
