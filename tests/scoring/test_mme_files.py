"""MME's files have their lines at their ends of lines, whatever an answer holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from halluc.errors import UserError
from halluc.scoring.answer_files import AnswerFiles
from halluc.scoring.mme.answer_files import read_answers, read_questions
from halluc.scoring.mme.llava_answers import json_answers
from halluc.scoring.mme.metric import ROWS


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_other_separators_are_part_of_an_answer(tmp_path: Path, separator: str, end: str) -> None:
    line = f"1.jpg\tIs it?\tYes\tYes,{separator}it is."
    file = tmp_path / "color.txt"
    file.write_bytes((end.join([line] * ROWS["color"]) + end).encode())
    answers = read_answers(AnswerFiles(file))
    assert len(answers) == ROWS["color"]
    assert {answer.text for answer in answers} == {f"Yes,{separator}it is."}


def test_other_separators_are_part_of_a_question(tmp_path: Path) -> None:
    (tmp_path / "color").mkdir()
    (tmp_path / "color/1.txt").write_text("Is\u2028it?\tYes\nIs it not?\tNo\n")
    assert [q.text for q in read_questions(tmp_path, "color")] == ["Is\u2028it?", "Is it not?"]


def test_names_in_errors_are_on_their_line(tmp_path: Path) -> None:
    file = tmp_path / "color.txt"
    file.write_bytes(b"1\r.jpg\tIs it?\tYes\tYes\n2\x1b.jpg\tIs it?\tYes\tYes\n")
    with pytest.raises(UserError, match=r"line 2: 2\\x1b.jpg follows 1\\r.jpg: lines are not in"):
        read_answers(AnswerFiles(file))


def test_a_question_answered_twice_is_no_pair(tmp_path: Path) -> None:
    lines = [
        {
            "question_id": f"color/{n // 2}.jpg",
            "prompt": f"Is it {('red', 'blue')[n % 2]}? Please answer yes or no.",
            "label": ("Yes", "No")[n % 2],
            "answer": "Yes",
        }
        for n in range(ROWS["color"])
    ]
    file = tmp_path / "answers.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    assert len(json_answers(AnswerFiles(file))) == ROWS["color"]
    lines[3] |= {"prompt": "Is it RED?\nAnswer the question using a single word or phrase."}
    file.write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(
        UserError, match=r"line 4: color/1\.jpg is asked 'is it red\?' again, first"
    ):
        json_answers(AnswerFiles(file))
