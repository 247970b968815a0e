from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from halluc.benchmarks import haloquest, r_bench
from halluc.benchmarks.dash_b import DashB
from halluc.benchmarks.haloquest import HaloQuest
from halluc.benchmarks.mmhal_bench import TYPES, MmhalBench
from halluc.benchmarks.object_halbench import ObjectHalBench
from halluc.benchmarks.openchair import OpenChair
from halluc.benchmarks.r_bench import RBench
from halluc.data.pinned_files import checksum
from halluc.errors import UserError
from tests.benchmarks.hub import SHA, cell, picture

if TYPE_CHECKING:
    from pathlib import Path

    from tests.benchmarks.hub import Hub

pytestmark = pytest.mark.usefixtures("cache")


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def image(path: Path, shade: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(shade))


class TestDashB:
    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "dataset": "coco",
                "object": "bench",
                "question": f"Can you see a {n}?",
                "answer": "no" if n < 2 else "yes",
                "image_path": f"{n}.png",
                "img_id": f"{n}.png",
                "question_id": n,
                "image": cell(n),
            }
            for n in range(4)
        ]

    def put(self, hub: Hub, rows: list[dict[str, Any]], sha: str | None = None) -> None:
        hub.put("YanNeu/DASH-B", "data/test-00000-of-00001.parquet", rows, sha)

    def test_from_the_hubs_cache(self, hub: Hub) -> None:
        self.put(hub, self.rows())
        samples = list(DashB().samples())
        assert [sample.target for sample in samples] == ["no", "no", "yes", "yes"]
        assert (samples[3].id, samples[3].image_id, samples[3].prompt) == (
            "3",
            "3.png",
            "Can you see a 3?",
        )
        assert samples[3].load_image().getpixel((0, 0)) == (3, 0, 0)
        assert len(list(DashB().samples(2))) == 2

    def test_what_was_first_fetched_is_recorded(self, hub: Hub, cache: Path) -> None:
        self.put(hub, self.rows())
        list(DashB().samples())
        seen = json.loads((cache / "seen.json").read_text())["YanNeu/DASH-B"]
        assert seen["revision"] == SHA
        self.put(hub, self.rows()[:2])
        with pytest.raises(UserError, match=r"YanNeu/DASH-B: data/test.* when first used"):
            list(DashB().samples())

    def test_another_revision_is_not_taken_for_it(self, hub: Hub) -> None:
        self.put(hub, self.rows())
        list(DashB().samples())
        self.put(hub, self.rows()[:2], SHA[::-1])
        assert len(list(DashB().samples())) == 4  # main has moved on; the recorded one is read

    def test_from_the_authors_folder(self, tmp_path: Path) -> None:
        images = tmp_path / "images"
        write(images / "dash_benchmark_neg.json", {"coco": {"bench": ["1.png"], "bus": ["1.png"]}})
        write(images / "dash_benchmark_pos.json", {"objectnet": {"tie": ["2.png"]}})
        image(images / "neg/coco/bench/1.png", 1)
        image(images / "neg/coco/bus/1.png", 1)
        image(images / "pos/objectnet/tie/2.png", 2)
        samples = list(DashB(folder=tmp_path).samples())
        assert [(s.image_id, s.target) for s in samples] == [
            ("1.png", "no"),
            ("1.png", "no"),
            ("2.png", "yes"),
        ]
        assert samples[2].prompt == (
            "Can you see a tie in this image? Please answer only with yes or no."
        )
        assert samples[2].load_image().getpixel((0, 0)) == (2, 0, 0)
        assert len(list(DashB(folder=images).samples(1))) == 2
        (images / "neg/coco/bus/1.png").unlink()
        with pytest.raises(UserError, match=r"neg.json: image 'neg/coco/bus/1.png' is not below"):
            list(DashB(folder=tmp_path).samples())
        write(images / "dash_benchmark_pos.json", {"objectnet": {}})
        with pytest.raises(UserError, match=r"dash_b: dash_benchmark_pos.json is .* first used"):
            list(DashB(folder=tmp_path).samples())
        (images / "dash_benchmark_pos.json").unlink()
        with pytest.raises(UserError, match=r"has no dash_benchmark_pos.json below it"):
            list(DashB(folder=tmp_path).samples())


class TestRBench:
    def fill(self, folder: Path) -> list[dict[str, Any]]:
        questions = [
            {"question_id": n, "image": f"{n // 2}.jpg", "text": f"Is it {n}?", "label": label}
            for n, label in enumerate(["yes", "no", "Yes", "no, it is not"])
        ]
        write(folder / r_bench.QUESTIONS, questions)
        for subset, ids in enumerate(([0, 1], [2, 3], [0, 3], [1, 2], [0, 1]), 1):
            write(folder / r_bench.SUBSET.format(subset), ids)
        for n in range(2):
            image(folder / f"images/{n}.jpg", n)
        return questions

    def test_from_its_files(self, tmp_path: Path) -> None:
        self.fill(tmp_path)
        samples = list(RBench(folder=tmp_path).samples())
        assert [sample.id for sample in samples] == ["0", "1", "2", "3"]
        assert samples[3].target == {"label": "no", "subsets": ["2", "3"]}
        assert samples[3].load_image().getpixel((0, 0)) == (1, 0, 0)
        assert len(list(RBench(folder=tmp_path).samples(1))) == 2

    def test_missing_and_changed_files(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="r_bench: give a folder"):
            list(RBench().samples())
        with pytest.raises(UserError, match=r"image-level_filterd.json: no such file"):
            list(RBench(folder=tmp_path).samples())
        questions = self.fill(tmp_path)
        list(RBench(folder=tmp_path).samples())
        write(tmp_path / r_bench.SUBSET.format(4), [1])
        with pytest.raises(UserError, match=r"rel_ids_4.json is .* when first used"):
            list(RBench(folder=tmp_path).samples())
        write(tmp_path / r_bench.SUBSET.format(4), [1, 9])
        with pytest.raises(UserError, match=r"rel_ids_4.json: question 9 is not in"):
            list(RBench(folder=tmp_path).samples())
        (tmp_path / r_bench.SUBSET.format(4)).write_text("[1,")
        with pytest.raises(UserError, match=r"rel_ids_4.json: not JSON"):
            list(RBench(folder=tmp_path).samples())
        self.fill(tmp_path)
        (tmp_path / "images/1.jpg").unlink()
        with pytest.raises(UserError, match=r"image '1.jpg' is not below"):
            list(RBench(folder=tmp_path).samples())
        write(tmp_path / r_bench.QUESTIONS, [*questions, questions[0]])
        with pytest.raises(UserError, match=r"id 0 again, first at"):
            list(RBench(folder=tmp_path).samples())


class TestMmhal:
    def fill(self, folder: Path, name: str = "response_template.json") -> Path:
        records = [
            {
                "question_type": TYPES[n % 8],
                "question_topic": "indoor",
                "image_id": f"id{n}",
                "image_src": f"https://flickr.com/12/{n}_o.jpg",
                "image_content": ["Dog", "Ball"],
                "question": f"What is {n}?",
                "gt_answer": "A dog",
                "model_answer": "",
            }
            for n in range(10)
        ]
        for n in range(10):
            image(folder / f"images/{n}_o.jpg", n)
        return write(folder / name, records)

    def check(self, benchmark: MmhalBench) -> None:
        samples = list(benchmark.samples())
        assert len(samples) == 10
        assert (samples[9].id, samples[9].image_id, samples[9].group) == ("09", "id9", TYPES[1])
        assert samples[9].target == {"contents": ["Dog", "Ball"], "answer": "A dog"}
        assert samples[9].load_image().getpixel((0, 0)) == (9, 0, 0)
        assert len(list(benchmark.samples(3))) == 3

    def test_from_the_hubs_cache(self, hub: Hub) -> None:
        self.fill(hub.snapshot("Shengcao1006/MMHal-Bench"))
        self.check(MmhalBench())

    def test_nothing_cached(self, hub: Hub) -> None:
        with pytest.raises(UserError, match="MMHal-Bench at f5f49a938f45: cannot be fetched"):
            list(MmhalBench().samples())
        image(hub.snapshot("Shengcao1006/MMHal-Bench") / "images/1_o.jpg")
        with pytest.raises(UserError, match=r"has no response_template.json"):
            list(MmhalBench().samples())

    @pytest.mark.parametrize("name", ["response_template.json", "mmhal-bench_answer_template.json"])
    def test_from_its_files(self, tmp_path: Path, name: str) -> None:
        path = self.fill(tmp_path, name)
        self.check(MmhalBench(folder=tmp_path))
        (tmp_path / "images/3_o.jpg").rename(tmp_path / "images/id3.jpg")
        assert list(MmhalBench(folder=tmp_path).samples())[3].load_image().size == (4, 4)
        (tmp_path / "images/id3.jpg").unlink()
        with pytest.raises(UserError, match=r"line 1 record 4: image '3_o.jpg' is not below"):
            list(MmhalBench(folder=tmp_path).samples())
        path.write_text(path.read_text().replace("dog", "cat"))
        with pytest.raises(UserError, match=rf"mmhal_bench: {name} is .* when first used"):
            list(MmhalBench(folder=tmp_path).samples())
        path.unlink()
        with pytest.raises(UserError, match=r"has no response_template.json"):
            list(MmhalBench(folder=tmp_path).samples())


class TestHaloQuest:
    TABLE = (
        ",image_name,url,image type,hallucination type,question,groundtruth responses,split\n"
        '0,a.png,u,real,false premises,"What, then?",There is none; nothing;,eval\n'
        "1,b.png,u,real,visual challenge,Who?,Bob,eval\n"
        "2,a.png,u,real,insufficient context,Where?,Cannot be seen,eval\n"
    )

    def fill(self, folder: Path) -> Path:
        for n, name in enumerate(("a.png", "b.png")):
            image(folder / name, n)
        path = folder / haloquest.FILE
        path.write_text(self.TABLE)
        return path

    def test_from_its_files(self, tmp_path: Path) -> None:
        path = self.fill(tmp_path)
        samples = list(HaloQuest(folder=tmp_path).samples())
        assert [sample.id for sample in samples] == ["0000", "0002", "0001"]  # image by image
        assert samples[0].prompt == "What, then?"
        assert samples[2].group == "visual challenge"
        assert samples[2].load_image().getpixel((0, 0)) == (1, 0, 0)
        assert len(list(HaloQuest(folder=tmp_path).samples(1))) == 2
        path.write_text(self.TABLE.replace("Bob", "Bill"))
        with pytest.raises(UserError, match=r"haloquest: haloquest-eval.csv is .* first used"):
            list(HaloQuest(folder=tmp_path).samples())

    def test_the_table_is_fetched_where_it_is_missing(
        self, tmp_path: Path, published: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = self.fill(tmp_path).rename(tmp_path / "published.csv")
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(UserError, match=r"haloquest-eval.csv is not in .* switched off"):
            list(HaloQuest(folder=tmp_path).samples())
        monkeypatch.delenv("HF_HUB_OFFLINE")
        monkeypatch.setattr(haloquest, "PUBLISHED", f"{published}/published.csv")
        with pytest.raises(UserError, match="not the pinned file"):
            list(HaloQuest(folder=tmp_path).samples())
        monkeypatch.setattr(haloquest, "SHA256", checksum(file))
        assert len(list(HaloQuest(folder=tmp_path).samples())) == 3

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("visual challenge", "visually challenging", "line 3: hallucination type 'visually"),
            ("b.png", "c.png", "line 3: image 'c.png' is not below"),
            ("1,b.png", "0,b.png", "line 3: id 0 again, first at .* line 2"),
            ("1,b.png", "one,b.png", "line 3: '' is 'one', not a whole number"),
            ("Cannot be seen,eval\n", "Can", "line 4: does not have 8 fields; is it truncated"),
            ("question,", "asked,", "has no column 'question'"),
        ],
    )
    def test_wrong_tables(self, tmp_path: Path, old: str, new: str, message: str) -> None:
        self.fill(tmp_path).write_text(self.TABLE.replace(old, new))
        with pytest.raises(UserError, match=message):
            list(HaloQuest(folder=tmp_path).samples())

    def test_a_folder_is_asked_for(self) -> None:
        with pytest.raises(UserError, match="haloquest: give a folder with the images"):
            list(HaloQuest().samples())


class TestOpenChair:
    def fill(self, hub: Hub, folder: Path) -> None:
        rows = [{"image": cell(n), "text": f"A dog {n}"} for n in range(3)]
        hub.put("moranyanuka/OpenCHAIR", "data/test-00000-of-00001.parquet", rows)
        (folder / "concreteness.csv").write_text("Word,Conc.M\ndog,4.85\njoy,1.6\n")

    def test_from_the_hubs_cache(self, hub: Hub, tmp_path: Path) -> None:
        self.fill(hub, tmp_path)
        samples = list(OpenChair(folder=tmp_path).samples())
        assert [sample.target for sample in samples] == ["A dog 0", "A dog 1", "A dog 2"]
        assert samples[2].load_image().getpixel((0, 0)) == (2, 0, 0)
        assert samples[2].prompt == "Please describe this image in detail."
        assert len(list(OpenChair(folder=tmp_path).samples(1))) == 1

    def test_ratings_are_asked_for_before_anything_is_answered(
        self, hub: Hub, tmp_path: Path
    ) -> None:
        self.fill(hub, tmp_path)
        with pytest.raises(UserError, match=r"give a folder with concreteness.csv"):
            list(OpenChair().samples())
        ratings = tmp_path / "concreteness.csv"
        ratings.write_text("Word,Conc.M\ndog,high\n")
        with pytest.raises(UserError, match=r"csv line 2: Conc.M 'high' is not a number"):
            list(OpenChair(folder=tmp_path).samples())
        ratings.write_text("Word,Conc.M\njoy,1.6\n")
        with pytest.raises(UserError, match=r"has no word above 4.5"):
            list(OpenChair(folder=tmp_path).samples())


class TestObjectHalBench:
    def fill(self, folder: Path) -> Path:
        coded = [base64.b64encode(picture(n)).decode() for n in range(2)]
        lines = [
            {"image_id": str(7 + n // 2), "question": f"What is {n}?", "image": coded[n // 2]}
            for n in range(4)
        ]
        images = [{"id": id, "file_name": f"{id}.jpg"} for id in (7, 8)]
        instances = {
            "annotations": [{"id": 1, "image_id": 7, "category_id": 1}],
            "categories": [{"id": 1, "name": "dog"}],
        }
        captions = {"annotations": [{"id": 2, "image_id": 7, "caption": "A dog."}]}
        for kind, content in (("instances", instances), ("captions", captions)):
            write(folder / f"annotations/{kind}_val2014.json", {"images": images, **content})
        path = folder / "obj_halbench_300_with_image.jsonl"
        path.write_text("\n".join(map(json.dumps, lines)))
        return path

    def test_from_its_files(self, tmp_path: Path) -> None:
        path = self.fill(tmp_path)
        samples = list(ObjectHalBench(folder=tmp_path).samples())
        assert [sample.image_id for sample in samples] == ["7", "7", "8", "8"]
        assert samples[1].prompt == "What is 1?"
        assert samples[0].target == {"categories": ["dog"], "captions": ["A dog."]}
        assert samples[2].load_image().getpixel((0, 0)) == (1, 0, 0)
        assert len(list(ObjectHalBench(folder=tmp_path).samples(1))) == 2
        path.write_text(path.read_text().replace("What", "Who"))
        with pytest.raises(UserError, match=r"obj_halbench_300.* is .* when first used"):
            list(ObjectHalBench(folder=tmp_path).samples())

    def test_missing_files_and_images(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="object_halbench: give a folder"):
            list(ObjectHalBench().samples())
        path = self.fill(tmp_path)
        path.write_text(path.read_text().replace('"8"', '"9"'))
        with pytest.raises(UserError, match=r"line 3: image 9 is not in COCO's annotations"):
            list(ObjectHalBench(folder=tmp_path).samples())
        (tmp_path / "annotations/captions_val2014.json").unlink()
        with pytest.raises(UserError, match=r"needs COCO's instances_\*.json and captions"):
            list(ObjectHalBench(folder=tmp_path).samples())
        path.unlink()
        with pytest.raises(UserError, match="no such file"):
            list(ObjectHalBench(folder=tmp_path).samples())
