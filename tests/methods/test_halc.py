"""HALC's fields, divergences and contrasts by hand; which words it chooses anew, what it keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from PIL import Image
from torch import Tensor

from halluc.config import DecodingConfig
from halluc.decoding.generation import generate
from halluc.decoding.searching import CacheLoop
from halluc.errors import UserError
from halluc.methods._detector_and_matcher import Onlookers
from halluc.methods._fields_of_view import Field, contrasts, divergences, fields_of_view
from halluc.methods._focal_search import Branch, FocalSearch, Settings, choose_box
from halluc.methods._object_words import ObjectWord, ObjectWords
from halluc.methods.halc import HALC
from halluc.models.object_detector import Box
from halluc.world import MATCHER, NAMES, render, scene
from halluc.world.training.tokenizer import build_tokenizer
from tests.kit.asking import prepared, questions
from tests.kit.families import llava
from tests.references import plain_loop

SIZE = (100, 50)


def test_fields_by_hand() -> None:
    found = Field(40, 20, 60, 30)  # 20 x 10 around (50, 25)
    paper = fields_of_view(found, 4, 0.6, SIZE, "paper")
    # sides times 1 / 1.6, 1, 1.6, 2.56: 12.5 x 6.25, 20 x 10, 32 x 16, 51.2 x 25.6
    assert paper == [
        pytest.approx((43.75, 21.875, 56.25, 28.125)),
        pytest.approx(found),
        pytest.approx((34, 17, 66, 33)),
        pytest.approx((24.4, 12.2, 75.6, 37.8)),
    ]
    code = fields_of_view(found, 4, 0.6, SIZE, "official_code")
    assert code[0] == pytest.approx((46, 23, 54, 27))  # .4 as large: 8 x 4
    assert code[1:] == [pytest.approx(field) for field in paper[1:]]
    assert fields_of_view(found, 2, 0.9, SIZE, "official_code")[0] == pytest.approx(
        (48, 24, 52, 26)  # never less than a fifth
    )


def test_borders_cut_fields_off() -> None:
    found = Field(0, 20, 20, 30)
    paper = fields_of_view(found, 4, 1.0, SIZE, "paper")
    assert paper[2:] == [(0, 15, 30, 35), (0, 5, 50, 45)]  # both around x = 10
    code = fields_of_view(found, 4, 1.0, SIZE, "official_code")
    # 30 wide, so 60 around x = 15: -15 to 45
    assert code[2:] == [(0, 15, 30, 35), (0, 5, 45, 45)]


def test_a_field_has_pixels() -> None:
    assert Field(2.4, 3.6, 10.5, 11.4).pixels(SIZE) == (2, 4, 10, 11)
    assert Field(2.1, 3, 2.2, 3).pixels(SIZE) == (2, 3, 3, 4)
    assert Field(99.9, 49.8, 100, 50).pixels(SIZE) == (99, 49, 100, 50)


def test_divergences_by_hand() -> None:
    logits = torch.tensor([[0.0, log(3)], [log(3), 0.0], [0.0, log(3)]])  # 1/4, 3/4 and so on
    # m = 1/2, 1/2: KL(p || m) = 1/4 log 1/2 + 3/4 log 3/2 = .1308, for q the same
    paper = divergences(logits, "paper")
    assert paper[0].tolist() == pytest.approx([0, 0.1308, 0], abs=1e-4)
    # KL(m || p) = 1/2 log 2 + 1/2 log 2/3 = .1438
    code = divergences(logits, "official_code")
    assert code[0].tolist() == pytest.approx([0, 0.1438, 0], abs=1e-4)
    far = torch.tensor([[0.0, -400], [-400, 0.0]], dtype=torch.bfloat16)
    assert float(divergences(far, "paper")[0, 1]) == pytest.approx(log(2))


def test_contrasts_by_hand() -> None:
    logits = torch.tensor([[0.0, 1.0], [2.0, 1.0], [0.0, 3.0]])
    # logit differences 1, -1, 3: fields 1 and 2 lie farthest apart, then 0 and 1, then 0 and 2
    assert contrasts(logits, 2, 0.5, "paper").tolist() == [
        [1.5 * 2 - 0, 1.5 * 1 - 0.5 * 3],
        [0 - 0.5 * 2, 1.5 * 3 - 0.5 * 1],
    ]
    assert contrasts(logits, 2, 0.5, "official_code").tolist() == [
        [0 - 0.5 * 2, 3 - 0.5 * 1],
        [2 - 0, 1 - 0.5 * 3],
    ]
    four = contrasts(logits, 4, 0.5, "paper")
    assert four[2:].tolist() == [[-1.0, 1.5 - 0.5], [3.0, 1.5 - 0.5]]
    assert contrasts(logits, 8, 0.5, "paper").shape == (6, 2)  # there are three pairs


def test_boxes_are_chosen_by_variant() -> None:
    sure, small = Box(10, 10, 60, 40, 0.9), Box(0, 0, 10, 10, 0.3)
    tiny = Box(0, 0, 7, 7, 0.2)  # 49 of 5000 pixels: less than a hundredth
    assert choose_box([sure, small, tiny], SIZE, "paper") == sure[:4]
    assert choose_box([sure, small, tiny], SIZE, "official_code") == small[:4]
    middle = (20, 10, 80, 40)
    assert choose_box([], SIZE, "paper") == choose_box([tiny], SIZE, "official_code") == middle
    assert choose_box([sure] * 4, SIZE, "official_code") is None
    assert choose_box([sure] * 3 + [tiny], SIZE, "official_code") == sure[:4]
    assert choose_box([sure] * 4, SIZE, "paper") == sure[:4]


# -- words --------------------------------------------------------------------------------------


class Pieces:
    """A tokenizer of pieces of words; "_" starts a word, and "<" a special token."""

    def decode(self, tokens: Sequence[str], skip_special_tokens: bool) -> str:
        assert skip_special_tokens
        said = "".join(piece for piece in tokens if not piece.startswith("<"))
        return said.replace("_", " ").strip()


def ended(text: str, following: str) -> tuple[str, int] | None:
    words = ObjectWords(("dog", "hot dog", "dining table"), Pieces())
    return words.ended(cast(Any, text.split()), cast(Any, following))


def test_a_word_ends_where_another_begins() -> None:
    assert ended("_a _d og", "_runs") == ("dog", 1)
    assert ended("_a _D ogs", ".") == ("dog", 1)
    assert ended("_a _d og", "</s>") == ("dog", 1)
    assert ended("_a _d og", "gy") is None
    assert ended("_a _d og", "-") is None
    assert ended("_a _d og", "'s") is None
    assert ended("_a _d", "_og") is None
    assert ended("_a _bull dog", "_runs") is None
    assert ended("_a _cat", "_runs") is None
    assert ended("_a _d og <x>", "_runs") is None  # it ended before
    assert ended("", "_runs") is None


def test_words_of_several_parts_begin_with_the_first() -> None:
    assert ended("_a _hot _d og", "_runs") == ("hot dog", 1)
    assert ended("_one _din ing _table", ".") == ("dining table", 1)
    assert ended("_one _cold _table", ".") == ("dining table", 2)  # as captions of COCO say
    tokenizer = build_tokenizer()
    tokens = tokenizer("There are two dining tables", add_special_tokens=False)["input_ids"]
    stop = cast(int, tokenizer.convert_tokens_to_ids("."))
    words = ObjectWords(("dining table", "dog"), tokenizer)
    assert words.ended(tokens, stop) == ("dining table", len(tokens) - 1)
    assert ObjectWords((), tokenizer).ended(tokens, stop) is None


# -- the search -----------------------------------------------------------------------------------

WORDS = ("</s>", "a", "dog", "cat", "on", "<unk>")
END, A, DOG, CAT, ON, UNKNOWN = range(6)


@dataclass
class Table:
    """A loop over a table of what follows what, and of what crops say."""

    follows: dict[int, int]
    crops: list[list[float]]
    beams: int = 1
    tokens: Tensor = field(default_factory=lambda: torch.zeros(1, 0).long())
    looks: list[tuple[int, list[int]]] = field(default_factory=list)
    max_new_tokens: int = 12
    end_tokens: tuple[int, ...] = (END,)
    model: Any = None
    batch: Any = None

    def __post_init__(self) -> None:
        self.model = SimpleNamespace(
            encode=lambda prompts, crops: [crop.size for crop in crops],
            continued=lambda inputs, tokens: (inputs, tokens.tolist()),
        )
        self.batch = SimpleNamespace(images=[Image.new("L", SIZE)], rendered=["?"])

    @property
    def logits(self) -> Tensor:
        last = [row[-1] if row else -1 for row in self.tokens.tolist()]
        return torch.eye(len(WORDS))[[self.follows.get(token, A) for token in last]]

    def step(self, tokens: Tensor) -> None:
        self.tokens = torch.cat([self.tokens, tokens[:, None]], 1)

    def fork(self, rows: Tensor) -> None:
        self.tokens = self.tokens[rows]

    def rollback(self, count: int) -> None:
        self.tokens = self.tokens[:, : self.tokens.shape[1] - count]

    def forward(self, inputs: tuple[list[tuple[int, int]], list[int]]) -> Tensor:
        self.looks.append((len(inputs[0]), inputs[1]))
        return torch.tensor(self.crops)


class Names:
    def decode(self, tokens: Sequence[int], skip_special_tokens: bool) -> str:
        return " ".join(WORDS[token] for token in tokens if not WORDS[token].startswith("<"))


SAYS_CAT = [[0.0, 0, 1, 4, 0, 0], [0.0, 0, 4, 1, 0, 0]]
FOLLOWS = {-1: A, A: DOG, DOG: ON, CAT: END, ON: END}
ONE_BOX = [Box(10, 10, 30, 20, 0.9)]


def searched(
    loop: Table,
    boxes: Sequence[Box] = ONE_BOX,
    liked: str = "cat",
    variant: Any = "paper",
    unknown: int | None = UNKNOWN,
) -> tuple[list[int], list[list[str]]]:
    """What is said, and which texts were ranked."""
    ranked: list[list[str]] = []

    def match(texts: Sequence[str]) -> Tensor:
        ranked.append(list(texts))
        return torch.tensor([float(text.count(liked)) for text in texts])

    settings = Settings(variant, 2, 0.6, 2, 0.05)
    words = ObjectWords(("dog", "cat"), Names())
    onlookers = SimpleNamespace(
        detect=lambda image, name: boxes, fit=lambda image, texts: match(texts)
    )
    search = FocalSearch(cast(Any, loop), settings, words, cast(Any, onlookers), unknown)
    return search.run(loop.beams), ranked


def test_the_word_that_fits_the_image_is_kept() -> None:
    loop = Table(FOLLOWS, SAYS_CAT)
    assert searched(loop) == ([A, CAT, END], [["a cat", "a dog"]])
    assert loop.looks == [(2, [A])]  # two crops, behind what stood before the word
    loop = Table(FOLLOWS, SAYS_CAT)
    assert searched(loop, liked="dog")[0] == [A, DOG, ON, END]
    assert loop.looks == [(2, [A])]  # what was chosen is not chosen anew


def test_agreeing_crops_need_no_ranking() -> None:
    assert searched(Table(FOLLOWS, [SAYS_CAT[0]] * 2)) == ([A, CAT, END], [])


def test_branches_go_on_next_to_each_other() -> None:
    loop = Table(FOLLOWS, SAYS_CAT, beams=2)
    answer, ranked = searched(loop)
    assert answer == [A, CAT, END]
    assert ranked == [["a cat", "a dog on"]]  # at the end only, as two may stay


def test_what_is_neither_found_nor_corrected_is_left_out() -> None:
    stays = [SAYS_CAT[1]] * 2
    follows = FOLLOWS | {UNKNOWN: ON}
    loop = Table(follows, stays)
    assert searched(loop, boxes=())[0] == [A, ON, END]
    assert loop.tokens.tolist() == [[A, UNKNOWN, ON]]  # the unknown token is read
    assert searched(Table(follows, stays))[0] == [A, DOG, ON, END]  # found
    assert searched(Table(follows, [SAYS_CAT[0]] * 2), boxes=())[0] == [A, CAT, END]  # corrected
    assert searched(Table(follows, stays), boxes=(), unknown=None)[0] == [A, DOG, ON, END]


def test_the_code_leaves_nothing_out_early() -> None:
    stays = [SAYS_CAT[1]] * 2
    early, late = Branch((A,) * 6 + (DOG,), 7), Branch((A,) * 7 + (DOG,), 8)
    for variant, left_out in (("paper", [True, True]), ("official_code", [False, True])):
        settings = Settings(cast(Any, variant), 2, 0.6, 2, 0.05)
        words = ObjectWords((), Names())
        search = FocalSearch(cast(Any, Table({}, stays)), settings, words, cast(Any, None), UNKNOWN)
        for branch, out in zip((early, late), left_out, strict=True):
            settled = search.settled(branch._replace(unfounded=True))
            assert (settled.tokens[-1] == UNKNOWN, len(settled.said) < len(branch.tokens)) == (
                out,
                out,
            )
            assert not settled.unfounded
            assert search.settled(branch) == branch


def test_the_code_leaves_a_word_with_many_boxes_alone() -> None:
    for variant, looks in (("paper", 1), ("official_code", 0)):
        loop = Table(FOLLOWS, SAYS_CAT)
        answer, _ = searched(loop, boxes=ONE_BOX * 4, variant=variant)
        assert (answer == [A, DOG, ON, END], len(loop.looks)) == (looks == 0, looks)


def test_an_answer_is_cut_where_it_has_to_be() -> None:
    loop = Table({-1: A, A: A}, SAYS_CAT, max_new_tokens=5)
    assert searched(loop)[0] == [A] * 5


# -- on a model -----------------------------------------------------------------------------------


def test_defaults() -> None:
    paper = HALC.resolve(HALC.Params(), llava())
    assert (paper.n_crops, paper.expand_ratio, paper.k_candidates, paper.beta) == (4, 0.6, 6, 0.05)
    assert (paper.num_beams, paper.detector, paper.matcher) == (1, "glyph", "glyph")
    assert len(paper.detector_revision or "") == len(paper.matcher_revision or "") == 10
    code = HALC.resolve(HALC.Params(variant="official_code"), llava())
    assert code.k_candidates == 4
    assert HALC.resolve(HALC.Params(k_candidates=2, box_threshold=0.0), llava()).box_threshold == 0


def test_refusals_name_what_is_wrong() -> None:
    with pytest.raises(UserError, match="detector 'no/such/one' cannot be loaded"):
        HALC.for_model(llava(), {"detector": "no/such/one"})
    with pytest.raises(UserError, match="matcher 'no/such/one' cannot be loaded"):
        HALC.requires(HALC.Params(matcher="no/such/one"), llava().model.config, "tiny")
    with pytest.raises(UserError, match="k_candidates"):
        HALC.parameters({"k_candidates": 3})
    with pytest.raises(UserError, match="'halc' searches; leave out do_sample"):
        generate(
            llava(), prepared("halc", llava()), questions(llava(), 0),
            DecodingConfig(do_sample=True), max_new_tokens=2,
        )  # fmt: skip


class Sees:
    """A detector that sees one thing in all images."""

    def __init__(self, source: Any, device: Any) -> None: ...

    def detect(self, image: Any, name: str, threshold: float) -> list[Box]:
        return [Box(8.0, 8.0, 24.0, 24.0, 0.9)]


@pytest.mark.parametrize("name", ["halc", "apc+halc", "vhr+halc"])
def test_crops_are_read_by_the_model_alone_and_counted(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = llava(), questions(llava(), 0)
    part = "" if name == "halc" else "halc."
    method = prepared(name, model, **{f"{part}n_crops": 3, f"{part}k_candidates": 2})
    plain = generate(model, method, batch, DecodingConfig(), max_new_tokens=4)
    seen: list[Tensor] = []
    forward = CacheLoop.forward

    def noted(self: CacheLoop, inputs: Any) -> Tensor:
        seen.append(forward(self, inputs))
        return seen[-1]

    def ended(self: ObjectWords, tokens: Sequence[int], following: int) -> ObjectWord | None:
        return ObjectWord("dog", 1) if len(tokens) == 2 else None

    monkeypatch.setattr(CacheLoop, "forward", noted)
    monkeypatch.setattr(ObjectWords, "ended", ended)
    monkeypatch.setattr("halluc.models.object_detector.Detector", Sees)
    made = generate(model, method, batch, DecodingConfig(), max_new_tokens=4)
    (found,) = seen
    for row, field_ in enumerate(fields_of_view(Field(8, 8, 24, 24), 3, 0.6, (32, 32), "paper")):
        inputs = model.encode(batch.rendered, [batch.images[0].crop(field_.pixels((32, 32)))])
        wanted = plain_loop.next_logits(model.model, inputs, [int(plain.tokens[0, 0])])
        assert float((found[row] - wanted).abs().max()) < 1e-4
    again = 0 if made.tokens[0, 1] == plain.tokens[0, 1] else 1  # the token before is read again
    assert made.passes[0] == plain.passes[0] + 3 + 2 * again


# -- what looks on --------------------------------------------------------------------------------


def test_glyphs_matcher_is_asked_object_by_object() -> None:
    params = HALC.resolve(HALC.Params(), llava())
    onlookers = Onlookers(params, "cpu")
    image = render(scene("matcher-test", 3))
    dog, bed = onlookers.matcher.chances(image, ["There is a dog.", "There is a bed."]).tolist()
    found = onlookers.fit(image, ["Here is a dog", "a dog on a bed", "two dogs", "nothing"])
    assert found.tolist() == pytest.approx([dog, (dog + bed) / 2, dog, 0.0], abs=1e-5)
    whole = Onlookers(params.model_copy(update={"matcher": str(MATCHER)}), "cpu")
    texts = ["a dog", "There is a red dog on the left. " * 3 + "There is a bed."]
    stock = whole.matcher.match([image] * 2, texts).similarity
    scores = whole.fit(image, texts)
    assert float(scores[0]) == pytest.approx(float(stock[0]), abs=1e-5)
    cut = whole.fit(image, [texts[1].replace("bed", "cat")])
    assert float(cut[0]) != pytest.approx(float(scores[1]), abs=1e-5)  # read to its end


def test_the_matcher_knows_what_is_there() -> None:
    matcher = Onlookers(HALC.resolve(HALC.Params(), llava()), "cpu").matcher
    right = 0
    for index in range(30):
        one = scene("onlookers", index)
        there = max(one.things, key=lambda thing: thing.evidence).category
        absent = NAMES[(NAMES.index(there) + 7) % len(NAMES)]
        texts = [f"There is a {name}." for name in (there, absent)]
        there_is, is_not = matcher.chances(render(one), texts).tolist()
        right += absent in one.categories or there_is > is_not
    assert right > 22
