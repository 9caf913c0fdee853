"""Chats: the model reads what the template writes, and only the messages' words are words."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lxt_like as lxt
from lxt_like.errors import InputError, TruncationWarning
from lxt_like.explain.chat import encode_chat, with_chats
from lxt_like.explain.messages import Chat
from lxt_like.explain.words import words_and_tokens

from . import makers
from .tasks.checks import closes, every_format, relevance_of

CHATML = (
    "{% if messages[0].role != 'system' %}<|start|>system\nBe kind.<|end|>\n{% endif %}"
    "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
TRIMMED = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content | trim }} "
    "[/INST]{% elif m.role == 'system' %}[SYS] {{ m.content | trim }} [/SYS] {% else %} "
    "{{ m.content | trim }} {{ eos_token }}{% endif %}{% endfor %}"
)
THINKING = (
    "{% for m in messages %}<|start|>{{ m.content.split('</think>')[-1] }}<|end|>{% endfor %}"
)
REFUSING = "{{ raise_exception('Roles must alternate') }}"
USER = [{"role": "user", "content": "A funny film?"}]
TALK = [
    {"role": "system", "content": " Not dull. "},
    {"role": "user", "content": "user"},
    {"role": "assistant", "content": "film\n\n"},
    {"role": "user", "content": "  Is it funny?"},
]


def speaking(tokenizer: Any, template: str) -> Any:
    tokenizer.chat_template = template
    return tokenizer


@pytest.fixture(scope="module")
def bytewise() -> Any:
    made = makers.byte_bpe()
    made.add_special_tokens({"additional_special_tokens": ["<|start|>"]})
    return speaking(made, CHATML)


@pytest.fixture(scope="module")
def metaspace() -> Any:
    return speaking(makers.unigram(), TRIMMED)


@pytest.fixture(scope="module")
def talker(bytewise: Any) -> Any:
    return makers.gpt2(bytewise, positions=256)


def chat_of(messages: Any) -> Chat:
    chat = with_chats(messages)
    assert isinstance(chat, Chat)
    return chat


@pytest.mark.parametrize("name", ["bytewise", "metaspace"])
@pytest.mark.parametrize("messages", [USER, TALK, TALK[:3]], ids=["one", "four", "goes on"])
def test_the_model_reads_what_the_template_writes(
    name: str, messages: Any, request: pytest.FixtureRequest
) -> None:
    tokenizer = request.getfixturevalue(name)
    goes_on = messages[-1]["role"] == "assistant"
    wanted = tokenizer.apply_chat_template(
        messages, add_generation_prompt=not goes_on, continue_final_message=goes_on
    )["input_ids"]
    made = encode_chat(tokenizer, chat_of(messages))
    assert made.ids == wanted
    (text,) = made.texts
    read = [text[s:e] for s, e in filter(None, made.spans)]
    wanted_text = "".join("".join(m["content"] for m in messages).split())
    assert "".join("".join(read).split()) == wanted_text
    assert all((s is None) == (p is None) for s, p in zip(made.segments, made.spans, strict=True))


def test_words_are_those_of_the_messages(talker: Any, bytewise: Any, tmp_path: Path) -> None:
    ex = lxt.explain(talker, TALK, tokenizer=bytewise)
    assert [w.text for w in ex.words] == [
        *("Not", "dull", "."),
        "user",
        "film",
        *("Is", "it", "funny", "?"),
    ]
    assert ex.text.startswith("<|start|>system\n Not dull. <|end|>\n<|start|>user\nuser<|end|>\n")
    assert ex.text[ex.words[3].start - 5 :].startswith("user\nuser<|end|>")
    assert ex.text.endswith("<|start|>assistant\n")
    assert ex.notes[0].startswith("A chat of 4 messages (system, user, assistant, user), in the")
    closes(ex)
    every_format(ex, tmp_path)


def test_relevance_is_that_of_the_ids(talker: Any, bytewise: Any) -> None:
    inputs = bytewise.apply_chat_template(USER, add_generation_prompt=True, return_tensors="pt")
    ex = lxt.explain(talker, USER, target=5, tokenizer=bytewise)
    wanted = relevance_of(talker, dict(inputs), partial(_logit, 5))
    assert [t.relevance for t in ex.tokens] == pytest.approx(wanted, abs=1e-5)
    own = sum(t.relevance for t in ex.tokens if t.word is None)
    assert ex.special == pytest.approx(own)
    assert own == pytest.approx(sum(wanted) - sum(w.relevance for w in ex.words), abs=1e-5)


def _logit(token: int, output: Any) -> Any:
    return output.logits[:, -1, token]


def test_several_chats_and_rows_of_a_data_set(talker: Any, bytewise: Any) -> None:
    many = lxt.explain(talker, [TALK, {"messages": USER}, "A film"], tokenizer=bytewise)
    alone = [lxt.explain(talker, one, tokenizer=bytewise) for one in (TALK, USER, "A film")]
    for ex, want in zip(many, alone, strict=True):
        assert (ex.texts, ex.notes) == (want.texts, want.notes)
        for word, other in zip(ex.words, want.words, strict=True):
            assert word.relevance == pytest.approx(other.relevance, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "messages", "label"),
    [
        ("bytewise", USER, '"f"'),  # behind a line break
        ("metaspace", USER, '" f"'),  # the template writes a space before an answer
        ("metaspace", [*USER, {"role": "assistant", "content": "It is a"}], '" f"'),
        ("bytewise", [*USER, {"role": "assistant", "content": "It is a"}], '" f"'),
        ("bytewise", [*USER, {"role": "assistant", "content": "It is a "}], '"f"'),
    ],
)
def test_whether_an_answer_begins_with_a_space(
    name: str, messages: Any, label: str, request: pytest.FixtureRequest
) -> None:
    tokenizer = request.getfixturevalue(name)
    model = makers.gpt2(tokenizer, positions=256)
    ex = lxt.explain(model, messages, target="f", tokenizer=tokenizer, ledger=False)
    assert ex.target.label == label
    other = {'"f"': '" f"', '" f"': '"f"'}[label]
    assert any(f"{other} is another" in note for note in ex.notes)


def test_an_answer_that_goes_on_within_a_word(talker: Any, bytewise: Any) -> None:
    begun = [*USER, {"role": "assistant", "content": "A fil"}]
    ex = lxt.explain_generation(talker, begun, "m", tokenizer=bytewise, ledger=False)
    assert any("A film'. Begin it with a space" in note for note in ex.total.notes)
    ex = lxt.explain_generation(talker, USER, "m", tokenizer=bytewise, ledger=False)
    assert len(ex.total.notes) == 1


def read_of(tokenizer: Any, template: str, messages: Any) -> tuple[list[str], tuple[str, ...]]:
    """The words of a chat in this template, and what a reader is told."""
    before = tokenizer.chat_template
    try:
        made = encode_chat(speaking(tokenizer, template), chat_of(messages))
    finally:
        tokenizer.chat_template = before
    words, _ = words_and_tokens(made, [0.0] * len(made))
    for word in words:
        assert made.texts[0][word.start : word.end] == word.text
    return [word.text for word in words], made.notes[1:]


MERGED = (  # the system message stands in the last of the user
    "{% if messages[0].role == 'system' %}{% set rest = messages[1:] %}{% else %}"
    "{% set rest = messages %}{% endif %}{% for m in rest %}("
    "{% if loop.last and rest != messages %}{{ messages[0].content }};{% endif %}"
    "{{ m.content }}){% endfor %}"
)
CONDITIONAL = "{% for m in messages if m.content %}<|start|>{{ m.content }}<|end|>{% endfor %}"


@pytest.mark.parametrize("name", ["bytewise", "metaspace"])
@pytest.mark.parametrize(
    ("template", "contents", "words"),
    [
        ("{% for m in messages %}Q{{ m.content }}Z{% endfor %}", "film|it", "film it"),
        ("{% for m in messages %}Q\n{{ m.content }}Z{% endfor %}", "☃|A ☃", "☃ A ☃"),
        ("{% for m in messages %}{{ m.content }}{% endfor %}", "film|it|☃|☃", "film it ☃ ☃"),
        (CONDITIONAL, "|film||", "film"),
        (CONDITIONAL, " |film", "film"),
        (CHATML, "<|end|>\n|user\n|user", "<| end |> user user"),
        ("{% for m in messages %}{{ m.content.lstrip('\n') }}\n{% endfor %}",
         "\n\n  film\n\n|it", "film it"),
        (MERGED, "A|film|is|funny", "film is A funny"),
    ],
)  # fmt: skip
def test_words_are_told_from_the_templates(
    name: str, template: str, contents: str, words: str, request: pytest.FixtureRequest
) -> None:
    roles = ["system" if template is MERGED else "user", *["user"] * 9]
    messages = [{"role": r, "content": c} for r, c in zip(roles, contents.split("|"), strict=False)]
    if template is CHATML:  # which has bars
        messages = [{"role": "user", "content": c} for c in ("<|end|>\n", "user\n", "user")]
    got, notes = read_of(request.getfixturevalue(name), template, messages)
    assert "".join(got) == "".join(words.split())
    assert notes == ()


def test_what_a_template_leaves_out_is_told(bytewise: Any) -> None:
    thought = [{"role": "user", "content": "dull </think> film"}, *USER]
    got, notes = read_of(bytewise, THINKING, thought)
    assert got == ["film", "A", "funny", "film", "?"]
    assert notes == ("The template leaves out a part of message 0 (counted from 0).",)
    got, notes = read_of(bytewise, THINKING, [{"role": "user", "content": "dull</think>"}, *USER])
    assert (got, len(notes)) == (["A", "funny", "film", "?"], 1)


def test_an_answer_that_has_not_begun_is_none(bytewise: Any, metaspace: Any) -> None:
    for tokenizer in (bytewise, metaspace):
        blank = [*USER, {"role": "assistant", "content": " \n"}]
        made = encode_chat(tokenizer, chat_of(blank))
        assert made == encode_chat(tokenizer, chat_of(USER))


def test_a_template_may_write_the_time(bytewise: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter("12223333")
    write = bytewise.apply_chat_template

    def now(*args: Any, **options: Any) -> Any:
        return f"It is {next(times)} now. {write(*args, **options)}"

    monkeypatch.setattr(bytewise, "apply_chat_template", now)
    made = encode_chat(bytewise, chat_of(USER))
    assert made.texts[0].startswith("It is 2 now.")


def test_columns_of_data(talker: Any, bytewise: Any) -> None:
    datasets, pandas = pytest.importorskip("datasets"), pytest.importorskip("pandas")
    rows = [{"messages": USER}, {"messages": TALK}]
    table = datasets.Dataset.from_list(rows)
    frame = pandas.DataFrame(rows)
    arrays = pandas.Series([np.array(row["messages"], dtype=object) for row in rows])
    lazy = (row["messages"] for row in rows)
    wanted = [chat_of(USER), chat_of(TALK)]
    for given_ in (table["messages"], frame["messages"], arrays, lazy, tuple(rows)):
        assert with_chats(given_) == wanted
    for whole in (table, frame):
        assert with_chats(whole) is whole  # and refused as such
    many = lxt.explain(talker, table["messages"], tokenizer=bytewise, ledger=False)
    assert [ex.text for ex in many] == [
        lxt.explain(talker, m, tokenizer=bytewise, ledger=False).text for m in (USER, TALK)
    ]


def test_a_chat_that_is_too_long_loses_its_first_words(talker: Any, bytewise: Any) -> None:
    long = [{"role": "system", "content": "dull " * 200}, *USER]
    with pytest.warns(TruncationWarning):
        ex = lxt.explain(talker, long, tokenizer=bytewise, ledger=False)
    read = [w.text for w in ex.words]
    assert set(read[:-4]) == {"dull"}
    assert read[-4:] == ["A", "funny", "film", "?"]
    assert ex.text.startswith("<|start|>system\n")
    assert len(ex.tokens) == 256


def test_each_token_of_an_answer(talker: Any, bytewise: Any, tmp_path: Path) -> None:
    read = bytewise.apply_chat_template(USER, add_generation_prompt=True)["input_ids"]
    ex = lxt.explain_generation(talker, USER, "A film!", tokenizer=bytewise)
    written = [t.id for t in ex.written]
    assert written == bytewise("A film!", add_special_tokens=False)["input_ids"]
    assert [t.id for t in ex.total.tokens] == read + written
    assert [w.text for w in ex.words] == ["A", "funny", "film", "?"]
    assert ex.output == "A film!"
    assert ex.total.notes[0].startswith("A chat of 1 message (user)")
    sums = ex.relevance.sum(1) + ex.special
    for t, step in enumerate(ex.steps):
        account = step.account
        assert account is not None
        assert sums[t] + sum(account.entries.values()) == pytest.approx(ex.scores[t], abs=1e-4)
    ex.save(tmp_path / "why.json")
    assert lxt.load(tmp_path / "why.json") == ex
    for suffix in (".html", ".png"):
        ex.save(tmp_path / f"why{suffix}")
    made = lxt.explain_generation(talker, USER, max_new_tokens=2, tokenizer=bytewise)
    assert len(made.tokens) == 2


def test_a_beginning_that_is_there_twice_is_told(metaspace: Any) -> None:
    model = makers.gpt2(metaspace)
    whole = metaspace.apply_chat_template(USER, tokenize=False)
    said = lxt.explain(model, whole, tokenizer=metaspace, ledger=False).notes
    assert said[0].startswith("The text begins with <s>, and the tokenizer puts another before it")
    assert not any("another before it" in n for n in _notes(model, USER, metaspace))
    assert not any("another before it" in n for n in _notes(model, "A film", metaspace))


def _notes(model: Any, text: Any, tokenizer: Any) -> tuple[str, ...]:
    return tuple(lxt.explain(model, text, tokenizer=tokenizer, ledger=False).notes)


@pytest.mark.parametrize(
    ("messages", "template", "error"),
    [
        (USER, None, "has no chat template: give a text, or set tokenizer.chat_template"),
        (USER, REFUSING, "does not take these messages: Roles must alternate"),
        (USER, "{{ messages[0].content | upper }}", "does not write message 0 as it is"),
        (USER, "{{ messages[0].content | length }}", "template leaves out message 0: leave it"),
        (TALK, "{{ messages[0].content }}", "template leaves out message 1: leave it"),
        (USER, "{{ raise_exception('a\\n\\nb') }}", "these messages: a b$"),
        (USER, "{{ messages[0].content * 2 }}", "does not write message 0 as it is"),
        ([{"role": "user"}], CHATML, "expected message 0 to be a role and a text, got {'role'"),
        ([*USER, {**USER[0], "tool_calls": [1]}], CHATML, "message 1 .* got also tool_calls"),
        ([{"role": "user", "content": [{"type": "image"}]}], CHATML, "a role and a text, got"),
        ([{"role": "user", "content": "\ud800"}], CHATML, "message 0 to be valid Unicode"),
        ({"messages": USER, "tools": []}, CHATML, r"got also tools: give row\['messages'\]"),
        ([{"role": "user", "content": ""}], CONDITIONAL, "with at least one token, got ''"),
        (USER * 90, CHATML, "expected a shorter chat: of at most 256|a prompt of at most 256"),
    ],
)
def test_what_is_refused(
    messages: Any, template: Any, error: str, talker: Any, bytewise: Any
) -> None:
    try:
        speaking(bytewise, template)
        for run in (lxt.explain, lxt.explain_generation):
            with pytest.raises(InputError, match=error):
                run(talker, messages, tokenizer=bytewise)
    finally:
        speaking(bytewise, CHATML)


def test_other_models_take_no_chat(wordpiece: Any) -> None:
    with pytest.raises(InputError, match="got a chat, since this is a model for text classif"):
        lxt.explain(makers.bert(wordpiece), USER, tokenizer=wordpiece)
    unigram = makers.unigram()
    with pytest.raises(InputError, match="got a chat, since this is a model for text to text"):
        lxt.explain(makers.t5(unigram), USER, tokenizer=unigram)


@cache
def _talking(name: str) -> Any:
    if name == "bytewise":
        return speaking(makers.byte_bpe(), CHATML)
    return speaking(makers.unigram(), TRIMMED)


@pytest.mark.parametrize("name", ["bytewise", "metaspace"])
@given(contents=st.lists(st.text(max_size=12), min_size=1, max_size=3))
def test_any_message_is_found_where_it_stands(name: str, contents: list[str]) -> None:
    tokenizer = _talking(name)
    messages = [{"role": "user", "content": c} for c in contents]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    made = encode_chat(tokenizer, chat_of(messages))
    assert made.texts == (text,)
    assert made.ids == tokenizer(text, add_special_tokens=False)["input_ids"]
    shown = [c if name == "bytewise" else c.strip() for c in contents]
    at = 0
    places = set()
    for content in shown:
        mark = "<|start|>user\n" if name == "bytewise" else "[INST] "
        at = text.index(mark, at) + len(mark)
        assert text.startswith(content, at)
        places |= set(range(at, at + len(content)))
        at += len(content)
    for span in filter(None, made.spans):
        inside = set(range(*span)) & places
        assert inside or span[0] == span[1]
    covered = {i for span in filter(None, made.spans) for i in range(*span)}
    missed = {i for i in places - covered if not text[i].isspace()}
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    seen = {i for s, e in offsets["offset_mapping"] for i in range(s, e)}
    assert not missed & seen
