from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from halluc.benchmarks import _amber_images as amber_images
from halluc.benchmarks.amber import Amber
from halluc.benchmarks.chair_coco import ChairCoco
from halluc.benchmarks.hallusionbench import FIELDS, HallusionBench
from halluc.benchmarks.mme import Mme, MmeHallucination
from halluc.benchmarks.mmvp import Mmvp
from halluc.benchmarks.pope import PopeCoco, PopeGqa
from halluc.data import pinned_files as sources
from halluc.data.image_folder import ImageFolder
from halluc.errors import UserError
from halluc.scoring.mme.metric import HALLUCINATION
from tests.benchmarks.hub import PINNED, SHA, cell, picture

if TYPE_CHECKING:
    from pathlib import Path

    from tests.benchmarks.hub import Hub

pytestmark = pytest.mark.usefixtures("cache")


def pope_rows(strategy: str) -> list[dict[str, Any]]:
    return [
        {
            "id": str(n),
            "question_id": str(n + 1),
            "question": f"Is there a {strategy} {n}?",
            "answer": "no" if n % 2 else "yes",
            "image_source": f"COCO_{n // 6}",
            "image": cell(n // 6),
            "category": strategy,
        }
        for n in range(12)
    ]


class TestPope:
    def fill(self, hub: Hub) -> None:
        for strategy in ("random", "popular", "adversarial"):
            name = f"Full/{strategy}-00000-of-00001.parquet"
            hub.put("lmms-lab/POPE", name, pope_rows(strategy))

    def test_from_the_hubs_cache(self, hub: Hub) -> None:
        self.fill(hub)
        samples = list(PopeCoco().samples())
        assert len(samples) == 36
        assert [sample.image_id for sample in samples] == ["COCO_0"] * 18 + ["COCO_1"] * 18
        assert samples[0].id == "random/1"
        assert samples[1].target == "no"
        assert samples[18].load_image().getpixel((0, 0)) == (1, 0, 0)
        assert len(list(PopeCoco().samples(1))) == 18
        vcd = next(PopeCoco(prompt="vcd").samples())
        assert vcd.prompt == "Is there a random 0? Please answer this question with one word."

    def test_the_pinned_revision_is_read_whatever_main_is(self, hub: Hub) -> None:
        self.fill(hub)
        for strategy in ("random", "popular", "adversarial"):
            name = f"Full/{strategy}-00000-of-00001.parquet"
            hub.put("lmms-lab/POPE", name, pope_rows(strategy)[:6], SHA)
        assert len(list(PopeCoco().samples())) == 36
        pinned = hub.snapshot("lmms-lab/POPE", PINNED["lmms-lab/POPE"])
        pinned.rename(pinned.with_name("elsewhere"))
        with pytest.raises(UserError, match=r"lmms-lab/POPE at 4db1276663df: cannot be fetched"):
            list(PopeCoco().samples())

    def test_nothing_cached(self, hub: Hub) -> None:
        with pytest.raises(UserError, match=r"lmms-lab/POPE at .*: cannot be fetched"):
            list(PopeCoco().samples())
        hub.put("lmms-lab/POPE", "Full/random-0.parquet", [{"question": "?"}])
        with pytest.raises(UserError, match="has no column 'question_id'"):
            list(PopeCoco().samples())

    def folder(self, tmp_path: Path, stem: str) -> Path:
        (tmp_path / "val2014").mkdir()
        for n in range(2):
            (tmp_path / f"val2014/{n}.png").write_bytes(picture(n))
        for strategy in ("random", "popular", "adversarial"):
            lines = [
                {
                    "question_id": n + 1,
                    "image": f"{n // 6}.png",
                    "text": "Is there a dog?",
                    "label": "yes",
                }
                for n in range(12)
            ]
            text = "\r\n".join(map(json.dumps, lines))
            (tmp_path / f"{stem}_pope_{strategy}.json").write_text(text)
        return tmp_path

    def test_from_official_files(self, tmp_path: Path) -> None:
        folder = self.folder(tmp_path, "coco")
        samples = list(PopeCoco(folder=folder, prompt="llava").samples())
        assert len(samples) == 36
        assert samples[-1].load_image().getpixel((0, 0)) == (1, 0, 0)
        assert samples[0].prompt.endswith("\nAnswer the question using a single word or phrase.")
        path = folder / "coco_pope_popular.json"
        path.write_text(path.read_text().replace("dog", "cat"))
        with pytest.raises(UserError, match=r"pope_coco: coco_pope_popular.json is .* first used"):
            list(PopeCoco(folder=folder).samples())

    def test_conversations(self, hub: Hub) -> None:
        self.fill(hub)
        samples = {sample.id: sample for sample in PopeCoco(chat=True).samples()}
        assert len(samples) == 36
        follows = [samples[f"popular/{n}"].follows for n in (1, 2, 6, 7, 8)]
        assert follows == [None, "popular/1", "popular/5", None, "popular/7"]
        assert samples["random/1"].max_new_tokens == 512
        assert all(sample.follows is None for sample in PopeCoco().samples())

    def test_pais_files_of_conversations(self, tmp_path: Path) -> None:
        folder = self.folder(tmp_path, "gqa")
        for strategy in ("random", "popular", "adversarial"):
            chats = [
                {
                    "text": [f"Is there a {k}?" for k in range(6)],
                    "label": ["yes", "no"] * 3,
                    "chat_id": n,
                    "image": f"{n}.png",
                }
                for n in range(2)
            ]
            path = folder / f"gqa_pope_chat_{strategy}.json"
            path.write_text("\n".join(map(json.dumps, chats)))
        samples = list(PopeGqa(folder=folder, chat=True).samples())
        assert len(samples) == 36
        assert samples[0].prompt == "Is there a 0?"
        assert (samples[1].id, samples[1].follows, samples[1].target) == (
            "random/2",
            "random/1",
            "no",
        )
        assert next(PopeGqa(folder=folder).samples()).prompt == "Is there a dog?"
        path.write_text(json.dumps({**chats[0], "label": ["yes"]}))
        with pytest.raises(UserError, match=r"line 1: 6 questions need as many labels"):
            list(PopeGqa(folder=folder, chat=True).samples())

    def test_questions_are_asked_once(self, tmp_path: Path) -> None:
        folder = self.folder(tmp_path, "gqa")
        path = folder / "gqa_pope_popular.json"
        path.write_text(path.read_text() + "\n" + path.read_text().splitlines()[2])
        with pytest.raises(UserError, match=r"popular.json line 13: id 3 again, first at .* 3"):
            list(PopeGqa(folder=folder).samples())

    def test_missing_files_and_images(self, tmp_path: Path) -> None:
        with pytest.raises(
            UserError, match=r"pope_gqa: give a folder with .*: --benchmark-args folder=DIR$"
        ):
            list(PopeGqa().samples())
        with pytest.raises(UserError, match=r"gqa_pope_random.json: no such file"):
            list(PopeGqa(folder=tmp_path).samples())
        folder = self.folder(tmp_path, "gqa")
        (folder / "val2014/1.png").unlink()
        with pytest.raises(UserError, match=r"gqa_pope_random.json line 7: image '1.png' is not"):
            list(PopeGqa(folder=folder).samples())


class TestMme:
    def test_from_the_hubs_cache(self, hub: Hub) -> None:
        rows = [
            {
                "question_id": f"{subtask}/{n // 2}.jpg",
                "category": subtask,
                "question": "Is it? Please answer yes or no.",
                "answer": "No" if n % 2 else "Yes",
                "image": cell(n),
            }
            for subtask in ("existence", "artwork")
            for n in range(4)
        ]
        hub.put("lmms-lab/MME", "data/test-00000-of-00001.parquet", rows)
        assert [len(list(c().samples())) for c in (Mme, MmeHallucination)] == [8, 4]
        samples = list(Mme(prompt="lmms-eval").samples(1))
        assert len(samples) == 2
        assert samples[0].prompt == "Is it?\nAnswer the question using a single word or phrase."
        assert [sample.target for sample in samples] == ["yes", "no"]
        assert samples[1].load_image().getpixel((0, 0)) == (1, 0, 0)

    def test_from_the_official_folders(self, tmp_path: Path) -> None:
        for subtask in HALLUCINATION:
            flat = subtask != "color"
            images = tmp_path / subtask / ("" if flat else "images")
            texts = tmp_path / subtask / ("" if flat else "questions_answers_YN")
            for folder in (images, texts):
                folder.mkdir(parents=True, exist_ok=True)
            (images / "7.png").write_bytes(picture())
            question = "Is it? Please answer yes or no."
            (texts / "7.txt").write_text(f"{question}\tYes\n{question}\tNo\n")
        samples = list(MmeHallucination(folder=tmp_path).samples())
        assert len(samples) == 8
        assert samples[0].image_id == "existence/7.png"
        assert samples[0].load_image().size == (4, 4)
        (tmp_path / "count/7.png").unlink()
        with pytest.raises(UserError, match=r"count, 7.txt: image '7.jpg' is not below"):
            list(MmeHallucination(folder=tmp_path).samples())
        (tmp_path / "existence/7.txt").write_text("one?\tYes\n")
        with pytest.raises(UserError, match=r"7.txt: 1 questions, MME has two"):
            list(MmeHallucination(folder=tmp_path).samples())


def test_chair_from_cocos_own_files(tmp_path: Path) -> None:
    images = [{"id": n, "file_name": f"COCO_val2014_{n:012d}.jpg"} for n in (1, 2, 3)]
    (tmp_path / "annotations").mkdir()
    box = {"id": 1, "image_id": 2, "category_id": 1}
    instances = {"annotations": [box], "categories": [{"id": 1, "name": "dog"}]}
    captions = {"annotations": [{"id": 1, "image_id": 2, "caption": "A dog."}]}
    for kind, content in (("instances", instances), ("captions", captions)):
        path = tmp_path / f"annotations/{kind}_val2014.json"
        path.write_text(json.dumps({"images": images, **content}))
    with pytest.raises(UserError, match=r"image 'COCO_val2014_00000000000\d.jpg' is not below"):
        list(ChairCoco(folder=tmp_path).samples())
    for image in images:
        (tmp_path / str(image["file_name"])).write_bytes(picture())
    samples = list(ChairCoco(folder=tmp_path).samples())
    assert {sample.id for sample in samples} == {"1", "2", "3"}
    assert samples[:2] == list(ChairCoco(folder=tmp_path).samples(2))
    (two,) = (sample for sample in samples if sample.id == "2")
    assert two.target == {"categories": ["dog"], "captions": ["A dog."]}
    assert (two.max_new_tokens, two.prompt) == (512, "Please describe this image in detail.")
    for kind in ("instances", "captions"):
        path = tmp_path / f"annotations/{kind}_train2014.json"
        path.write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    assert list(ChairCoco(folder=tmp_path).samples()) == samples  # val2014 is asked about
    val = tmp_path / "annotations/instances_val2014.json"
    val.write_text(val.read_text().replace("dog", "cat"))
    with pytest.raises(UserError, match=r"chair_coco: instances_val2014.json is .* first used"):
        list(ChairCoco(folder=tmp_path).samples())
    val.rename(val.with_name("instances_test.json"))
    with pytest.raises(UserError, match="keep one of these files, or one of val2014"):
        list(ChairCoco(folder=tmp_path).samples())


def test_images_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for place in ("data/VD/map", "data/VS/map"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "0_1.png").write_bytes(picture())
    images = ImageFolder(tmp_path)
    assert images.find("VS/map/0_1.png") == tmp_path / "data/VS/map/0_1.png"
    assert images.find("./VD/map/0_1.png") == tmp_path / "data/VD/map/0_1.png"
    with pytest.raises(UserError, match=r"line 3: image 'VD/chart/0_1.png' is not below"):
        images.find("VD/chart/0_1.png", "line 3")
    with pytest.raises(UserError, match=r"line 3: image '0_1.png' is both .*VD.* and .*VS"):
        images.find("0_1.png", "line 3")


def test_ambers_images_on_the_hub_are_counted_and_keep_their_checksum(
    hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo, file = amber_images.MIRROR.repo, "data/query_generative-00000-of-00001.parquet"
    monkeypatch.setattr(amber_images, "IMAGES", 3)
    rows = [{"id": number, "image": cell(number)} for number in (2, 1, 3)]
    hub.put(repo, file, rows)
    find = amber_images.mirrored()
    assert find("AMBER_2.jpg", "line 1")().getpixel((0, 0)) == (2, 0, 0)
    with pytest.raises(UserError, match=r"line 9: image 'AMBER_4.jpg' is not in visual-pref"):
        find("AMBER_4.jpg", "line 9")
    hub.put(repo, file, [*rows[:2], {"id": 3, "image": cell(9)}])
    with pytest.raises(UserError, match="when first used"):
        amber_images.mirrored()
    (cache / "seen.json").unlink()
    hub.put(repo, file, [*rows, rows[0]])
    with pytest.raises(UserError, match="has 4 images, not AMBER_1 to AMBER_3"):
        amber_images.mirrored()
    hub.put(repo, file, rows[:2])
    (cache / "seen.json").unlink()
    with pytest.raises(UserError, match="has 2 images"):
        amber_images.mirrored()


def test_amber_from_its_files(tmp_path: Path) -> None:
    (tmp_path / "annotations.json").write_text(
        json.dumps(
            [
                {"id": 1, "type": "generative", "truth": ["dog"], "hallu": ["cat"]},
                {"id": 2, "type": "relation", "truth": "no"},
            ]
        )
    )
    (tmp_path / "query").mkdir()
    queries = [
        {"id": 1, "image": "AMBER_1.jpg", "query": "Describe this image."},
        {"id": 2, "image": "AMBER_1.jpg", "query": "Is it?"},
    ]
    (tmp_path / "query/query_all.json").write_text(json.dumps(queries))
    with pytest.raises(UserError, match=r"query_all.json line 1: image 'AMBER_1.jpg' is not"):
        list(Amber(folder=tmp_path).samples())
    (tmp_path / "AMBER_1.jpg").write_bytes(picture())
    samples = list(Amber(folder=tmp_path).samples())
    assert [sample.group for sample in samples] == ["generative", "relation"]
    assert [sample.max_new_tokens for sample in samples] == [512, 16]


VALUES = ("VD", "map", "0", "1", "2", "1", "Is it?", "1", "It is.")


class TestHallusionBench:
    @property
    def record(self) -> dict[str, str]:
        return dict(zip(FIELDS, VALUES, strict=True))

    def test_from_the_hubs_cache(self, hub: Hub) -> None:
        row = {**self.record, "image": cell()}
        hub.put("lmms-lab/HallusionBench", "data/image-00000-of-00001.parquet", [row])
        (sample,) = HallusionBench().samples()
        assert sample.target == self.record
        assert sample.image_id == "VD/map/0/1"

    def test_from_its_files(self, tmp_path: Path) -> None:
        without = {**self.record, "visual_input": "0"}
        (tmp_path / "HallusionBench.json").write_text(json.dumps([self.record, without]))
        with pytest.raises(UserError, match=r"line 1: image 'VD/map/0_1.png' is not below"):
            list(HallusionBench(folder=tmp_path).samples())
        (tmp_path / "VD/map").mkdir(parents=True)
        (tmp_path / "VD/map/0_1.png").write_bytes(picture(9))
        (sample,) = HallusionBench(folder=tmp_path).samples()
        assert sample.load_image().getpixel((0, 0)) == (9, 0, 0)


def mmvp(snapshot: Path) -> None:
    (snapshot / "MMVP Images").mkdir(parents=True)
    table = "Index,Question,Options,Correct Answer\n"
    for number in (1, 2):
        (snapshot / f"MMVP Images/{number}.jpg").write_bytes(picture(number))
        table += f"{number},Open or closed?,(a) Open (b) Closed,(a)\n"
    (snapshot / "Questions.csv").write_text(table)


def test_mmvp_from_the_hubs_cache(hub: Hub) -> None:
    mmvp(hub.snapshot("MMVP/MMVP"))
    samples = list(Mmvp().samples(1))
    assert [sample.id for sample in samples] == ["001", "002"]
    assert samples[1].prompt == "Open or closed? (a) Open (b) Closed"
    assert samples[1].load_image().getpixel((0, 0)) == (2, 0, 0)


def test_mmvp_from_its_files(tmp_path: Path) -> None:
    mmvp(tmp_path)
    assert [sample.id for sample in Mmvp(folder=tmp_path).samples()] == ["001", "002"]
    (tmp_path / "MMVP Images/2.jpg").unlink()
    with pytest.raises(UserError, match=r"line 3: image 'MMVP Images/2.jpg' is not below"):
        list(Mmvp(folder=tmp_path).samples())
    (tmp_path / "Questions.csv").unlink()
    with pytest.raises(UserError, match=r"Questions.csv: no such file"):
        list(Mmvp(folder=tmp_path).samples())


def test_fetched_files_are_checked(
    tmp_path: Path, cache: Path, published: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, address = tmp_path / "file.txt", f"{published}/file.txt"
    file.write_text("words")
    sha = sources.checksum(file)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    path = sources.fetch(address, sha)
    assert path.read_text() == "words"
    file.write_text("other words")
    assert sources.fetch(address, sha) == path  # from the cache
    with pytest.raises(UserError, match="not the pinned file"):
        sources.fetch(address, "0" * 64)
    path.write_text("spoiled")
    with pytest.raises(UserError, match="not the pinned file"):
        sources.fetch(address, sha)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="network is switched off"):
        sources.fetch(address, sha)
