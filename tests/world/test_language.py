"""Questions are worded as the benchmarks word them, and their answers are true."""

from __future__ import annotations

from halluc.world import NAMES, facts, language, scene
from halluc.world.scenes import generator
from halluc.world.training.lessons import LOOSE, question_turns


def test_wordings() -> None:
    assert language.exists("dog") == "Is there a dog in the image?"
    assert language.exists("apple") == "Is there an apple in the image?"
    assert language.exists("umbrella") == "Is there an umbrella in the image?"
    assert language.exists_here("dog") == "Is there a dog in this image?"
    assert language.count("dog", 2) == "Are there two dogs in this image?"
    assert language.count("person", 3) == "Are there three people in this image?"
    assert language.count("bus", 1) == "Is there only one bus in this image?"
    assert language.colour("dog", "red") == "Is the dog red?"
    assert language.coloured("dog", "orange") == "Is there an orange dog in the image?"
    assert language.position("dog", "left") == "Is the dog on the left side of the image?"
    assert language.YES_OR_NO == " Please answer yes or no."


def test_each_word_names_one_category() -> None:
    words = [word for several in language.SYNONYMS.values() for word in several]
    assert len(words) == len(set(words))
    assert [several[0] for several in language.SYNONYMS.values()] == list(NAMES)


def test_facts_are_unambiguous() -> None:
    for index in range(100):
        one = scene("test", index)
        groups = {name: [t for t in one.things if t.category == name] for name in one.categories}
        for name, number in facts.counts(one).items():
            assert len(groups[name]) == number <= 4
        for name, hue in facts.colours(one).items():
            assert [thing.colour for thing in groups[name]] == [hue]
        for name, side in facts.sides(one).items():
            assert (groups[name][0].middle[0] < 64) == (side == "left")


def test_false_answers_are_taught_only_where_said() -> None:
    wrong = total = 0
    for index in range(300):
        one = scene("train0", index)
        for turn in question_turns(one, generator("test", index), 6, 4, LOOSE.false_yes):
            if turn.category is None:
                continue
            assert turn.present == (turn.category in one.categories)
            wrong += (turn.answer == "Yes") != turn.present
            assert turn.answer == "Yes" or not turn.present
            total += not turn.present
    assert 0 < wrong / total < 0.15
