"""Words that all messages share."""

import pytest

from hybridnets import program
from hybridnets.program import either, few, plural


def test_a_count_has_its_noun() -> None:
    assert [plural(n, "image") for n in (0, 1, 2, 15_000)] == ["0 images", "1 image", "2 images", "15,000 images"]


@pytest.mark.parametrize(
    ("names", "most", "words"),
    [
        ([], 3, ""),
        (["a"], 3, "a"),
        (("a", "b", 3), 3, "a, b, 3"),
        ({"a": 1, "b": 2, "c": 3, "d": 4}, 3, "a, b, c and 1 more"),
        (range(2000), 2, "0, 1 and 1,998 more"),
    ],
)
def test_the_first_few_are_named_and_the_others_counted(names: list[object], most: int, words: str) -> None:
    assert few(iter(names), most) == words


@pytest.mark.parametrize(
    ("names", "words"), [(["lstm"], "lstm"), (("lstm", 2), "lstm or 2"), ({"a": 1, "b": 2, "c": 3}, "a, b or c")]
)
def test_one_of_some_names_is_meant(names: list[object], words: str) -> None:
    assert either(iter(names)) == words


def test_spaces_of_any_script_can_be_printed() -> None:
    assert program.printable("사과\u3000배\u00a0x") == "사과\u3000배\u00a0x"
    assert program.printable("a\u202eb\nc\u200b") == "a[U+202E]b[U+000A]c[U+200B]"
