from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch

from halluc.benchmarks.dash_b import DashB
from halluc.benchmarks.haloquest import HaloQuest
from halluc.benchmarks.mmhal_bench import TYPES, MmhalBench, rating
from halluc.benchmarks.mmvp import Mmvp, first_letter, option
from halluc.benchmarks.object_halbench import ObjectHalBench
from halluc.benchmarks.openchair import OpenChair
from halluc.benchmarks.r_bench import RBench
from halluc.errors import UserError
from halluc.scoring.answer_files import AnswerFiles
from halluc.scoring.judges.judge_models import CachedJudge, EndpointJudge, LocalJudge, judge
from halluc.scoring.rescoring import score_files
from halluc.types import Answer, Reading
from tests.benchmarks.hub import cell
from tests.kit.fake_endpoint import FakeEndpoint, completion

if TYPE_CHECKING:
    from pathlib import Path

    from tests.benchmarks.hub import Hub


class Scripted:
    """A judge that replies what it was told to, in turn, and remembers what it was asked."""

    name = "scripted"

    def __init__(self, *replies: str) -> None:
        self.replies, self.asked = list(replies), list[str]()

    def ask(self, prompt: str) -> str:
        self.asked.append(prompt)
        return self.replies[(len(self.asked) - 1) % len(self.replies)]


def write(path: Path, records: Any) -> Path:
    path.write_text(json.dumps(records))
    return path


OPTIONS = "Are the wings open or closed? (a) Open (b) Closed"


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("(a)", "(a)"),
        ("(B) Closed", "(b)"),
        ("a", "(a)"),
        ("b.", "(b)"),
        ("Closed", "(b)"),
        ("They are open.", "(a)"),
        ("A butterfly", None),
        ("open and closed", None),
        ("(a) or (b)", None),
        ("", None),
        ("opened", None),
        ("The answer is A because they are spread.", "(a)"),
    ],
)
def test_mmvp_reads_letters_and_words(text: str, want: str | None) -> None:
    assert option(text, OPTIONS) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("A", "(a)"),
        ("(B).", "(b)"),
        ("b. Closed", "(b)"),
        ("A butterfly, and it is closed", "(a)"),  # an article is a letter there
        ("They are closed, so the answer is (B).", "(b)"),
        ("I take option b, not A", "(b)"),
        ("It is B", "(b)"),
        ("It is a pair of closed wings", "(a)"),
        ("like a web or a banana", "(a)"),
        ("The banana is open", "(a)"),  # the end of a word
        ("a)b", "(b)"),
        ("Both", "(b)"),  # the first character
        ("Closed", None),  # words do not count
        ("", None),
    ],
)
def test_mmvp_is_read_as_lmms_eval_reads_it(text: str, want: str | None) -> None:
    assert first_letter(text) == want
    answer = Answer("001", "1.jpg", "all", "", {"options": OPTIONS, "answer": "(a)"}, text)
    assert Mmvp(protocol="lmms-eval").predict(answer) == want
    assert Mmvp().predict(answer) == option(text, OPTIONS)


def mmvp_answers(tmp_path: Path, flip: tuple[int, ...] = ()) -> AnswerFiles:
    """Odd questions are (a), even ones (b), and all are answered so but for some."""
    lines = []
    for number in range(1, 301):
        truth, other = ("(a)", "(b)") if number % 2 else ("(b)", "(a)")
        response = other if number in flip else truth
        lines.append(
            {"question_id": number, "prompt": OPTIONS, "answer": truth, "response": response}
        )
    path = tmp_path / "answers.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return AnswerFiles(path)


def test_mmvp_counts_pairs(tmp_path: Path) -> None:
    files = mmvp_answers(tmp_path, flip=(1, 3, 4, 99, 100))
    result = score_files(Mmvp(), files, draws=20)
    assert result["metrics"]["pair_accuracy"] == pytest.approx(100 * 147 / 150)
    assert result["metrics"]["accuracy"] == pytest.approx(100 * 295 / 300)
    assert result["n_images"] == 150
    corrected = score_files(Mmvp(protocol="lmms-eval"), files, draws=0)["metrics"]
    assert corrected["pair_accuracy"] == pytest.approx(
        100 * 147 / 150
    )  # 99, 100 won; 279, 280 lost
    assert corrected["accuracy"] == pytest.approx(100 * 295 / 300)


def test_mmvp_by_a_judge(tmp_path: Path) -> None:
    benchmark = Mmvp(protocol="official", judge=Scripted("Yes", "yes.", "No", "yes"))
    result = score_files(benchmark, mmvp_answers(tmp_path), draws=0)
    assert result["metrics"] == {"pair_accuracy": 50, "accuracy": 75}
    assert result["notes"] == ["judge: scripted"]


def mmhal_answers(tmp_path: Path) -> AnswerFiles:
    records = [
        {
            "image_id": f"i{n}",
            "image_content": ["dog", "ball"],
            "question": "What?",
            "gt_answer": "A dog",
            "model_answer": f"answer {n}",
            "question_type": TYPES[n % 8],
        }
        for n in range(96)
    ]
    return AnswerFiles(write(tmp_path / "answers.json", records))


def test_mmhal_by_hand(tmp_path: Path) -> None:
    scripted = Scripted("Fine. Rating: 6", "Rating: 2", "I would say 5", "rating: 1 or rating: 3")
    result = score_files(MmhalBench(judge=scripted), mmhal_answers(tmp_path), draws=20)
    assert result["metrics"]["Average score"] == 2.0
    assert result["metrics"]["Hallucination rate"] == 0.75
    assert result["metrics"]["Average score for each question type"] == [6, 2, 0, 0] * 2
    assert result["unparseable"] == 48  # a 0 to the authors, and said here
    assert "Image Contents: dog, ball" in scripted.asked[0]
    with pytest.raises(UserError, match=r"needs --judge endpoint:MODEL or local:MODEL$"):
        score_files(MmhalBench(), mmhal_answers(tmp_path))


def test_mmhal_has_an_order(tmp_path: Path) -> None:
    """The authors tell types by position and by nothing else."""
    files = mmhal_answers(tmp_path)
    records = json.loads(files.answers.read_text())
    for broken, message in (
        ([records[1], records[0], *records[2:]], r"of type 'adversarial', not 'attribute'"),
        (records[:-1], "95 answers, MMHal-Bench has 96"),
        ([*records[:8], records[0], *records[9:]], r"record 9: id .* again, first at"),
        ([{**records[0], "image_content": "dog"}, *records[1:]], "'dog', not a list of texts"),
    ):
        write(files.answers, broken)
        with pytest.raises(UserError, match=message):
            score_files(MmhalBench(judge=Scripted("Rating: 6")), files)


def test_ratings() -> None:
    assert rating("Rating: 4") == 4
    assert rating("rating: 4 ... Rating: 4") == 4
    assert rating("rating:5") is None
    assert rating("rating: 3, no, rating: 2") is None


def test_haloquest_by_hand(tmp_path: Path) -> None:
    table = tmp_path / "haloquest-eval.csv"
    table.write_text(
        ",image_name,url,image type,hallucination type,question,groundtruth responses,split\n"
        '0,a.png,u,real,false premises,"What, then?",There is none; nothing;,eval\n'
        "1,b.png,u,real,visual challenge,Who?,Cannot be seen,eval\n"
    )
    lines = [{"id": 0, "response": "Nothing."}, {"id": 1, "response": "Bob"}]
    answers = tmp_path / "answers.jsonl"
    answers.write_text("\n".join(map(json.dumps, lines)))
    scripted = Scripted("yes", "perhaps")
    files = AnswerFiles(answers, table)
    result = score_files(HaloQuest(judge=scripted), files, draws=0)
    assert result["metrics"]["accuracy"] == 50
    assert result["metrics"]["false premises/accuracy"] == 100
    assert result["metrics"]["visual challenge/accuracy"] == 0
    assert result["unparseable"] == 1
    assert "There is none; nothing\n" in scripted.asked[0]
    answers.write_text(json.dumps(lines[0]))
    with pytest.raises(UserError, match=r"line 1: is the last answer, and question 1 has none"):
        score_files(HaloQuest(judge=scripted), files)


def test_dash_b_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [
        {"img_id": f"{n}.png", "object_name": "dog", "gt": gt, "response": text}
        for n, (gt, text) in enumerate(
            [("yes", "Yes."), ("yes", "maybe"), ("no", "No"), ("no", "yes"), ("no", "none")]
        )
    ]
    with pytest.raises(UserError, match=r"a.json line 1 record 5: is answer 5 of 2682"):
        score_files(DashB(), AnswerFiles(write(tmp_path / "a.json", records)))
    monkeypatch.setattr(DashB, "questions", 5)
    result = score_files(DashB(), AnswerFiles(write(tmp_path / "a.json", records)), draws=0)
    assert result["metrics"] == pytest.approx(
        {"ACC": 3 / 5, "TNR": 2 / 3, "TPR": 1 / 2, "Harmonic Mean": 4 / 7}
    )
    assert result["unparseable"] == 1
    with pytest.raises(UserError, match="again, first at"):
        score_files(DashB(), AnswerFiles(write(tmp_path / "a.json", [records[0]] * 2)))


def test_r_bench_averages_subsets(tmp_path: Path) -> None:
    questions = [
        {"question_id": n, "image": f"{n // 2}.jpg", "text": "?", "label": label}
        for n, label in enumerate(["yes", "no", "yes", "no"])
    ]
    labels = write(tmp_path / "image-level_filterd.json", questions)
    for subset, ids in enumerate(([0, 1], [2, 3], [0, 3], [1, 2], [0, 1]), 1):
        write(tmp_path / f"nocaps_image-level_rel_ids_{subset}.json", ids)
    lines = [{"question_id": n, "text": text} for n, text in enumerate(["Yes", "yes", "no", "No"])]
    answers = tmp_path / "answers.jsonl"
    answers.write_text("\n".join(map(json.dumps, lines)))
    result = score_files(RBench(), AnswerFiles(answers, labels), draws=20)
    # accuracies .5, .5, 1, 0, .5
    assert result["metrics"]["Accuracy"] == 50.0
    assert result["metrics"]["Recall"] == pytest.approx(60, abs=0.01)
    assert result["scores"]["accuracy"]["value"] == 0.5
    answers.write_text("\n".join(map(json.dumps, lines[:3])))
    with pytest.raises(UserError, match=r"line 3: is the last answer, and question 3 has none"):
        score_files(RBench(), AnswerFiles(answers, labels))


def test_openchair_by_hand(tmp_path: Path, nltk_data: Path, hub: Hub, cache: Path) -> None:
    rows = [{"image": cell(), "text": text} for text in ("A dog", "A cat")]
    hub.put("moranyanuka/OpenCHAIR", "data/test-00000-of-00001.parquet", rows)
    ratings = tmp_path / "concreteness.csv"
    ratings.write_text("Word,Conc.M\ndog,4.85\ncat,4.86\nball,5.0\nphoto,4.93\njoy,1.6\n")
    path = tmp_path / "answers.csv"
    path.write_text(
        'generated_caption\n"A photo of a dog, and two dogs."\nThe cat has a ball and joy.\n'
    )
    scripted = Scripted("Yes.", "No", "I am unsure")
    result = score_files(OpenChair(judge=scripted), AnswerFiles(path, ratings), draws=0)
    assert len(scripted.asked) == 3  # dog, cat, ball
    assert result["metrics"] == pytest.approx(
        {"openchair": 100 / 3, "nouns": 2, "unsure": 25, "unread": 0}  # the dog counts twice
    )
    mumbling = Scripted("Well.")
    result = score_files(OpenChair(judge=mumbling), AnswerFiles(path, ratings), draws=0)
    assert (result["metrics"]["openchair"], result["metrics"]["unread"]) == (None, 100)
    with pytest.raises(UserError, match=r"give a folder with concreteness.csv"):
        score_files(OpenChair(judge=scripted), AnswerFiles(path))
    path.write_text("generated_caption\nA dog\n")
    with pytest.raises(UserError, match=r"line 2: is caption 1, .*OpenCHAIR has 2 images"):
        score_files(OpenChair(judge=scripted), AnswerFiles(path, ratings))
    path.write_text("caption\nA dog\n")
    with pytest.raises(UserError, match="has no column 'generated_caption', only caption"):
        score_files(OpenChair(judge=scripted), AnswerFiles(path, ratings))


def test_object_halbench_by_hand(
    shared: Path, tmp_path: Path, nltk_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = write(tmp_path / "truth.json", {"7": ["dog", "person"], "8": ["cat"]})
    lines: list[dict[str, Any]] = [
        {
            "image_id": 7,
            "question": "What is there?",
            "text": "Assistant: A brother walks his dogs past a coffee table.",
        },
        {"image_id": "8", "prompt": "What is there?", "answer": "Nothing to see."},
        {"image_id": 8, "question": "And else?", "answer": "A cat and much more to be seen."},
    ]
    path = tmp_path / "answers.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    scripted = Scripted('["brother", "dog", "dogs", "coffee table"]', "I cannot say")
    tables = shared / "data/coco/chair_tables.json"
    benchmark = ObjectHalBench(judge=scripted, tables=tables)
    files = AnswerFiles(path, ground_truth=truth)
    with pytest.raises(UserError, match=r"line 3: is answer 3 of 300"):
        score_files(benchmark, files)
    monkeypatch.setattr(ObjectHalBench, "questions", 3)
    result = score_files(benchmark, files, draws=0)
    assert len(scripted.asked) == 2  # three words are not asked about
    assert result["metrics"] == pytest.approx(
        {
            "Response Hall": 100,
            "Object Hall": 100 / 3,
            "Response Correct": 0,
            "Object Correct": 200 / 3,
            "Object Recall": 50,
            "Average Length": (9 + 3 + 8) / 3,
            "COCO Sent Number": 1,
            "COCO Word Number": 2,
            "GT Word Number": 4,
        }
    )
    assert result["unparseable"] == 1
    path.write_text("\n".join(map(json.dumps, [*lines[:2], lines[1]])))
    with pytest.raises(UserError, match=r"line 3: id .* again, first at .* line 2"):
        score_files(benchmark, files)
    path.write_text("\n".join(map(json.dumps, [*lines[:2], {**lines[2], "image_id": 9}])))
    with pytest.raises(UserError, match=r"line 3: image 9 is not in"):
        score_files(benchmark, files)


def test_object_halbench_maps_words_as_the_authors_do(shared: Path, nltk_data: Path) -> None:
    listed = json.dumps(
        ["men", "a woman", "Fire hydrant", "coffee cup", "red cars", "toilet", "wooden seat"]
    )
    benchmark = ObjectHalBench(
        judge=Scripted(listed), tables=shared / "data/coco/chair_tables.json"
    )
    answer = Answer("1", "7", "all", "", {}, text="More than three words.")
    assert benchmark.predict(answer) == [
        ("woman", "person"),  # men stay men to a noun lemmatizer, and are no word of the table
        ("fire hydrant", "fire hydrant"),
        ("car", "car"),
        ("toilet", "toilet"),
    ]  # a coffee cup is one run of nouns and no cup; the seat is the toilet's


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ('["brother", "dog"]', True),
        ('["dog", "coffee table"]', False),
        ("[]", True),
        ("I cannot say", None),
    ],
)
def test_object_halbench_says_which_answers_are_right(
    shared: Path, nltk_data: Path, reply: str, right: bool | None
) -> None:
    tables = shared / "data/coco/chair_tables.json"
    benchmark = ObjectHalBench(judge=Scripted(reply), tables=tables)
    said = "A brother walks his dog."
    answer = Answer("1", "7", "all", "", {"objects": ["dog", "person"]}, text=said)
    assert benchmark.right(Reading(answer, benchmark.predict(answer))) is right


class TestJudges:
    @pytest.fixture
    def busy(self, endpoint: FakeEndpoint) -> FakeEndpoint:
        """The endpoint, busy at first, and without a model called unknown."""

        def respond(body: dict[str, Any], number: int) -> tuple[int, Any]:
            status = 404 if body["model"] == "unknown" else 503 if number == 0 else 200
            return status, completion(f"reply {number + 1}")

        endpoint.respond = respond
        return endpoint

    def test_an_endpoint_is_asked_again_and_answers_once(
        self, busy: FakeEndpoint, tmp_path: Path
    ) -> None:
        file = tmp_path / "judgements.jsonl"
        cached = CachedJudge(EndpointJudge("m", wait=0), file)
        assert cached.ask("hello") == cached.ask("hello") == "reply 2"
        path, headers, body = busy.requests[1]
        assert path == "/v1/chat/completions"
        assert headers["Authorization"] == "Bearer sk-secret"
        assert body["messages"] == [{"role": "user", "content": "hello"}]
        assert body["temperature"] == 0
        cached.close()
        assert list(tmp_path.iterdir()) == [file]
        file.write_text(file.read_text() + '{"key": "cut sho')
        again = CachedJudge(EndpointJudge("m", wait=0), file)
        assert again.ask("hello") == "reply 2"
        assert len(busy.requests) == 2
        assert all("sk-secret" not in file.read_text() for file in tmp_path.iterdir())

    def test_a_refusal_is_an_error_without_the_key(self, busy: FakeEndpoint) -> None:
        with pytest.raises(
            UserError, match=r"model 'unknown' at its endpoint: HTTP 404"
        ) as refused:
            EndpointJudge("unknown", wait=0).ask("hello")
        assert "sk-secret" not in str(refused.value)
        assert len(busy.requests) == 1

    def test_a_model_on_this_machine(self, tmp_path: Path) -> None:
        from transformers import LlamaConfig, LlamaForCausalLM

        from tests.kit.families.words import chat, tokenizer

        words = tokenizer()
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=len(words),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            pad_token_id=words.pad_token_id,
            eos_token_id=words.eos_token_id,
        )
        LlamaForCausalLM(config).save_pretrained(tmp_path / "judge")
        words.save_pretrained(tmp_path / "judge")
        with pytest.raises(UserError, match="has no chat template, which a judge needs"):
            LocalJudge(str(tmp_path / "judge"), max_tokens=4).ask("is there a dog ?")
        words.chat_template = chat().replace("message['content']", "[{'text': message['content']}]")
        words.save_pretrained(tmp_path / "judge")
        local = LocalJudge(str(tmp_path / "judge"), max_tokens=4)
        reply = local.ask("is there a dog ?")
        assert reply == local.ask("is there a dog ?")
        assert 0 < len(reply.split()) <= 4
        with pytest.raises(UserError, match=r"^judge .*nowhere: cannot be loaded \([^\n]+\)$"):
            LocalJudge(str(tmp_path / "nowhere")).ask("?")

    def test_names(self) -> None:
        for name in ("endpoint:gpt-4o", "local:some/model"):
            assert judge(name).name == name  # and so two kinds of a name share no reply
        for name in ("gpt-4o", "endpoint:", "oracle:x"):
            with pytest.raises(UserError, match="write endpoint:MODEL or local:MODEL"):
                judge(name)
