"""Logs of other harnesses, written here in their layouts, score as the same answers do in ours."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest

from halluc.errors import UserError
from halluc.importing.imported import Imported, read_log
from halluc.importing.imported_run import decoding_of, keep_imported
from halluc.importing.spreadsheet import sheet_rows
from halluc.importing.tools import TOOLS, log_of
from halluc.scoring.rescoring import score_answers_file

Rows = list[dict[str, Any]]
DATE = "20261122_101500"
MODEL = "llava-1.5-7b-hf"


def json_lines(path: Path, rows: Rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def workbook(path: Path, rows: Rows) -> Path:
    """A table as xlsxwriter writes it: texts are shared, empty cells are left out."""
    columns = list(rows[0])
    shared: dict[str, int] = {}

    def cell(value: Any, place: str) -> str:
        if value is None:
            return ""
        if isinstance(value, str):
            return f'<c r="{place}" t="s"><v>{shared.setdefault(value, len(shared))}</v></c>'
        return f'<c r="{place}"><v>{value}</v></c>'

    lines: list[list[Any]] = [columns, *([row.get(name) for name in columns] for row in rows)]
    body = "".join(
        f'<row r="{n}">{"".join(cell(v, f"{chr(65 + k)}{n}") for k, v in enumerate(line))}</row>'
        for n, line in enumerate(lines, 1)
    )
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    strings = "".join(f"<si><t xml:space='preserve'>{escape(text)}</t></si>" for text in shared)
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as book:
        sheet = f"<worksheet {space}><sheetData>{body}</sheetData></worksheet>"
        book.writestr("xl/worksheets/sheet1.xml", sheet)
        book.writestr("xl/sharedStrings.xml", f"<sst {space}>{strings}</sst>")
    return path


def imported(path: Path, tool: str, **given: Any) -> Imported:
    return read_log(log_of(path, tool), path, **given)


# lmms-eval 0.7: lmms_eval/evaluator.py and lmms_eval/loggers/evaluation_tracker.py


def lmms(folder: Path, task: str, samples: Rows, gen: dict[str, Any] | None = None) -> Path:
    folder = folder / "llava-hf__llava-1.5-7b-hf"
    rows = [
        {
            "doc_id": n,
            "target": sample.pop("target"),
            "filtered_resps": sample.pop("said"),
            "token_counts": [None],
            "doc_hash": "0" * 64,
            "input": sample.pop("input"),
            **sample,
        }
        for n, sample in enumerate(samples)
    ]
    config = {"task": task, "generation_kwargs": gen or {"temperature": 0, "num_beams": 1}}
    results = {"configs": {task: config}, "model_name": MODEL, "lmms_eval_version": "main@75571cfe"}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{DATE}_results.json").write_text(json.dumps(results))
    return json_lines(folder / f"{DATE}_samples_{task}.jsonl", rows)


POPE = [  # split, image, object, truth, answer
    ("adversarial", "a.jpg", "dog", "yes", "Yes"),
    ("adversarial", "a.jpg", "cat", "no", "Yes"),
    ("popular", "a.jpg", "dog", "yes", "No"),
    ("popular", "a.jpg", "car", "no", "No"),
    ("popular", "b.jpg", "man", "yes", "Yes"),
    ("random", "a.jpg", "dog", "yes", "Yes"),
    ("random", "a.jpg", "cow", "no", "No"),
]
POST = "\nAnswer the question using a single word or phrase."


def pope_in_ours(folder: Path, splits: tuple[str, ...]) -> dict[str, Any]:
    """The same answers as authors write them, with label files."""
    labels, answers = [], []
    for split in splits:
        rows = [row for row in POPE if row[0] == split]
        asked = [
            {"question_id": n, "image": i, "text": f"Is there a {o} in the image?", "label": t}
            for n, (_, i, o, t, _) in enumerate(rows, 1)
        ]
        labels.append(str(json_lines(folder / f"coco_pope_{split}.json", asked)))
        answers += [
            {"question_id": n, "answer": said, "category": split}
            for n, (*_, said) in enumerate(rows, 1)
        ]
    return score_answers_file("pope_coco", {}, json_lines(folder / "a.jsonl", answers), labels)


def pope_logged(rows: Sequence[tuple[str, ...]]) -> Rows:
    counts: dict[str, int] = {}
    samples = []
    for split, _, name, truth, said in rows:
        counts[split] = counts.get(split, 0) + 1
        logged = {
            "question_id": str(counts[split]), "score": float(said.lower() == truth),
            "prediction": said.lower(), "ground_truth": truth,
        }  # fmt: skip
        metrics = {f"pope_{name}": logged for name in ("accuracy", "precision", "f1_score")}
        asked = f"Is there a {name} in the image?{POST}"
        samples.append({"target": truth, "said": said, "input": asked, **metrics})
    return samples


@pytest.mark.parametrize(
    ("task", "split"),
    [("pope_adv", "adversarial"), ("pope_pop", "popular"), ("pope_random", "random")],
)
def test_pope_of_lmms_eval(tmp_path: Path, task: str, split: str) -> None:
    ours = pope_in_ours(tmp_path / "ours", (split,))
    rows = pope_logged([row for row in POPE if row[0] == split])
    path = lmms(tmp_path / "logs", task, rows, {"temperature": 0, "max_new_tokens": 128})
    found = imported(path, "lmms-eval")
    assert found.score(50)["metrics"] == ours["metrics"]
    assert (found.model, found.tool, found.version) == (MODEL, "lmms-eval", "main@75571cfe")
    assert found.decoding == {"temperature": 0, "max_new_tokens": 128}
    assert found.method is None
    assert [answer.id for answer in found.answers] == [
        f"{split}/{n}" for n in range(1, len(found.answers) + 1)
    ]
    labels = [tmp_path / f"ours/coco_pope_{split}.json"]
    assert imported(path, "lmms-eval", labels=labels).score(50)["scores"].keys() == (
        ours["scores"].keys()
    )


def test_splits_of_lmms_evals_pope_come_from_labels(tmp_path: Path) -> None:
    splits = ("adversarial", "popular", "random")
    ours = pope_in_ours(tmp_path / "ours", splits)
    path = lmms(tmp_path / "logs", "pope", pope_logged(POPE))
    found = imported(path, "lmms-eval", labels=[tmp_path / "ours"]).score(50)
    assert found["metrics"] == ours["metrics"]
    assert found["n_images"] == 2
    pooled = imported(path, "lmms-eval").score(50)
    assert pooled["metrics"]["TP"] == sum(ours["metrics"][split]["TP"] for split in splits)
    assert any("give --labels to have them told apart" in note for note in pooled["notes"])


def test_what_lmms_eval_filtered_is_put_back(tmp_path: Path) -> None:
    rows = pope_logged(POPE[:2])
    rows[0] |= {"resps": ["<think>No cat.</think>Yes"], "said": "Yes"}
    found = imported(lmms(tmp_path, "pope_adv", rows), "lmms-eval")
    assert found.answers[0].text == "<think>No cat.</think>Yes"
    assert found.score(50)["metrics"]["TP"] == 1


def mme_rows() -> Rows:
    """Text translation: 20 images, and "yes" to every second question that is to be affirmed."""
    return [
        {
            "category": "text_translation", "image_path": f"images/{n:04d}.png",
            "question": f"Is it {word}? Please answer yes or no.", "answer": truth,
            "said": "Yes" if truth == "Yes" and n % 2 else "No",
        }
        for n in range(20) for word, truth in (("one", "Yes"), ("two", "No"))
    ]  # fmt: skip


def mme_in_ours(folder: Path) -> dict[str, Any]:
    folder.mkdir()
    lines = [
        f"{r['image_path'][7:]}\t{r['question']}\t{r['answer']}\t{r['said']}" for r in mme_rows()
    ]
    (folder / "text_translation.txt").write_text("\n".join(lines))
    part: dict[str, Any] = score_answers_file("mme", {}, folder)["metrics"]["text_translation"]
    return part


def test_mme(tmp_path: Path) -> None:
    ours = mme_in_ours(tmp_path / "ours")
    assert (ours["acc"], ours["acc_plus"]) == (0.75, 0.5)
    samples = [
        {
            "target": r["answer"], "said": r["said"], "input": r["question"][:-26] + POST,
            "mme_cognition_score": {
                "question_id": f"{r['category']}/{r['image_path'][7:]}",
                "category": r["category"], "score": 1.0,
            },
        }
        for r in mme_rows()
    ]  # fmt: skip
    kit = [{"index": n, **r, "prediction": r.pop("said")} for n, r in enumerate(mme_rows())]
    for path, tool in (
        (lmms(tmp_path, "mme", samples), "lmms-eval"),
        (workbook(tmp_path / f"{MODEL}_MME.xlsx", kit), "vlmevalkit"),
        (workbook(tmp_path / f"{MODEL}/{MODEL}_MME.xlsx", kit), "open-vlm-records"),
    ):
        found = imported(path, tool)
        assert found.score(50)["metrics"]["text_translation"] == ours
        assert found.model == MODEL
    with pytest.raises(UserError, match=r"0019\.png has 1 answers, not two; truncated"):
        imported(lmms(tmp_path, "mme", samples_again(samples)[:-1]), "lmms-eval")


def samples_again(samples: Rows) -> Rows:
    """Samples that were written once, to be written again."""
    asked = mme_rows()
    return [
        {"target": r["answer"], "said": r["said"], "input": r["question"], **sample}
        for r, sample in zip(asked, samples, strict=True)
    ]


HALLUSION: Rows = [
    {
        "category": "VD", "subcategory": "figure", "visual_input": "1", "set_id": "0",
        "figure_id": figure, "question_id": question, "question": f"Is it {figure}{question}?",
        "gt_answer": truth, "gt_answer_details": "It is.", "filename": "./f.png",
        "said": said,
    }
    for figure, question, truth, said in (
        ("1", "0", "1", "Yes."), ("1", "1", "0", "Yes."), ("2", "0", "0", "No."),
        ("2", "1", "1", "I cannot tell."),
    )
]  # fmt: skip


def test_hallusionbench(tmp_path: Path) -> None:
    questions = [{k: v for k, v in row.items() if k != "said"} for row in HALLUSION]
    labels = json_lines(tmp_path / "HallusionBench.json", questions)
    answers = [
        q | {"model_prediction": r["said"]} for q, r in zip(questions, HALLUSION, strict=True)
    ]
    ours = score_answers_file(
        "hallusionbench", {}, json_lines(tmp_path / "a.json", answers), [str(labels)]
    )
    logged = [
        {"target": r["gt_answer_details"], "said": r["said"], "input": q["question"],
         "aAcc": q | {"model_prediction": r["said"]}}
        for q, r in zip(questions, HALLUSION, strict=True)
    ]  # fmt: skip
    found = imported(
        lmms(tmp_path, "hallusion_bench_image", logged), "lmms-eval", labels=[labels]
    ).score(50)
    assert (found["metrics"], found["unparseable"]) == (ours["metrics"], ours["unparseable"])
    names = ("category", "subcategory", "visual_input", "set_id", "figure_id", "question_id")
    kit = [
        {
            "index": "_".join(r[name] for name in names), "question": r["question"],
            "answer": {"1": "Yes", "0": "No"}[r["gt_answer"]], "category": "VD",
            "l2-category": "VD_figure", "image_path": "f.png", "prediction": r["said"],
        }
        for r in HALLUSION
    ]  # fmt: skip
    path = workbook(tmp_path / f"{MODEL}_HallusionBench.xlsx", kit)
    bare = json_lines(
        tmp_path / "bare.json",
        [q | {"gt_answer_details": "-", "filename": "f.png"} for q in questions],
    )
    found = imported(path, "vlmevalkit", labels=[bare]).score(50)
    assert found["metrics"] == ours["metrics"]
    kit[0]["index"] = "VD_figure_1"
    with pytest.raises(UserError, match=r"row 2: index 'VD_figure_1' is not category_subcategory"):
        imported(workbook(tmp_path / f"{MODEL}_HallusionBench.xlsx", kit), "vlmevalkit")


def test_pope_of_vlmevalkit_counts_a_row_in_each_of_its_splits(tmp_path: Path) -> None:
    """Its table has a question that several splits ask once, with all of them as category."""
    kit: Rows = [
        {"index": 0, "question": "Is there a dog in the image?", "answer": "Yes",
         "category": "random,popular,adversarial", "image_path": "a.jpg", "prediction": "Yes, one"},
        {"index": 1, "question": "Is there a cat in the image?", "answer": "No",
         "category": "adversarial", "image_path": "a.jpg", "prediction": "No"},
        {"index": 2, "question": "Is there a car in the image?", "answer": "No",
         "category": "popular", "image_path": "b.jpg", "prediction": "Perhaps."},
    ]  # fmt: skip
    for path in (
        workbook(tmp_path / f"{MODEL}_POPE.xlsx", kit),
        tabbed(tmp_path / f"{MODEL}_POPE.tsv", kit),
        json_array(tmp_path / f"{MODEL}_POPE.json", kit),
    ):
        found = imported(path, "vlmevalkit", options={"protocol": "vlmevalkit"}).score(50)
        metrics = found["metrics"]
        assert [metrics[s]["TP"] for s in ("random", "popular", "adversarial")] == [1, 1, 1]
        assert (metrics["adversarial"]["TN"], metrics["popular"]["Accuracy"]) == (1, 0.5)
        assert (found["n"], found["unparseable"], found["n_images"]) == (5, 1, 2)


def tabbed(path: Path, rows: Rows) -> Path:
    lines = [list(rows[0]), *(row.values() for row in rows)]
    quoted = ["\t".join('"' + str(v).replace('"', '""') + '"' for v in line) for line in lines]
    path.write_text("\n".join(quoted) + "\n")
    return path


def json_array(path: Path, rows: Rows) -> Path:
    path.write_text(json.dumps(rows, indent=4))
    return path


def test_amber_of_vlmevalkit(tmp_path: Path, shared: Path) -> None:
    rows = [
        (1, "AMBER_1.jpg", "discriminative-attribute-state", "yes", "Yes"),
        (2, "AMBER_1.jpg", "discriminative-attribute-state", "no", "Yes"),
        (3, "AMBER_2.jpg", "discriminative-hallucination", "no", "No"),
        (4, "AMBER_2.jpg", "relation", "no", "No"),
    ]
    kit: Rows = [
        {"index": n, "image_path": image, "category": kind, "question": "?", "answer": truth,
         "prediction": said}
        for n, image, kind, truth, said in rows
    ]  # fmt: skip
    found = imported(workbook(tmp_path / f"{MODEL}_AMBER.xlsx", kit), "vlmevalkit").score(50)
    annotations = [{"id": n, "type": kind, "truth": truth} for n, _, kind, truth, _ in rows]
    answers = [{"id": n, "response": said} for n, *_, said in rows]
    ours = score_answers_file(
        "amber_discriminative", {}, json_lines(tmp_path / "a.json", answers),
        [str(json_lines(tmp_path / "annotations.json", annotations))],
    )  # fmt: skip
    assert found["metrics"] == ours["metrics"]
    assert (found["n"], found["n_images"]) == (4, 2)


def test_descriptions_of_amber_are_counted_as_its_data_set_is(tmp_path: Path) -> None:
    annotations: Rows = [
        {"id": n, "type": "generative", "truth": [word], "hallu": []}
        for n, word in ((1, "dog"), (2, "tree"))
    ]
    labels = json_lines(tmp_path / "annotations.json", annotations)
    rows: Rows = [
        {"target": str([word]), "said": f"A {word}.", "input": "Describe this image",
         "amber_chair": {"chair_score": 0}}
        for word in ("dog", "tree")
    ]  # fmt: skip
    found = imported(lmms(tmp_path, "amber_g", rows), "lmms-eval", labels=[labels])
    assert [(a.id, a.target["truth"], a.text) for a in found.answers] == [
        ("00001", ["dog"], "A dog."),
        ("00002", ["tree"], "A tree."),
    ]
    for truth, message in {
        "['cat']": r"line 1: states that \['cat'\] is true; the annotations of id 1 have \['dog'",
        "dog": r"jsonl line 1: target is 'dog', not a list of objects",
        "['dog": r"jsonl line 1: target is .*, not a list of objects",
    }.items():
        logged = [
            {"target": truth, "said": "A dog.", "input": "Describe this image"},
            {"target": "['tree']", "said": "A tree.", "input": "Describe this image"},
        ]
        with pytest.raises(UserError, match=message):
            imported(lmms(tmp_path, "amber_g", logged), "lmms-eval", labels=[labels])


def mmvp_rows() -> Rows:
    """Every third question is answered (b), whatever is right; right is (a) for odd ones."""
    return [
        {"number": n, "right": "A" if n % 2 else "B", "said": "B" if n % 3 else "A"}
        for n in range(1, 301)
    ]


def test_mmvp(tmp_path: Path) -> None:
    lines = [
        {"question_id": r["number"], "prompt": "Is it? (a) Open (b) Closed",
         "answer": {"A": "(a)", "B": "(b)"}[r["right"]], "response": r["said"]}
        for r in mmvp_rows()
    ]  # fmt: skip
    path = json_lines(tmp_path / "a.jsonl", lines)
    flipped = {99: "B", 100: "A", 279: "B", 280: "A"}  # as lmms-eval's data set has them
    logged = [
        {"target": "", "said": r["said"], "input": f"Is it?\nA. Open\nB. Closed{POST}",
         "mmvp_accuracy": {"index": r["number"] - 1, "pair_index": 0, "pred": r["said"],
                           "pred_letter": r["said"],
                           "gt": flipped.get(r["number"], r["right"])}}
        for r in mmvp_rows()
    ]  # fmt: skip
    kit = [
        {"index": r["number"], "question": "Is it?", "A": "Open", "B": "Closed",
         "answer": r["right"], "category": "x", "prediction": r["said"]}
        for r in mmvp_rows()
    ]  # fmt: skip
    for protocol in ("rules", "lmms-eval"):
        ours = score_answers_file("mmvp", {"protocol": protocol}, path)
        for file, tool in (
            (lmms(tmp_path, "mmvp", [dict(one) for one in logged]), "lmms-eval"),
            (workbook(tmp_path / f"{MODEL}_MMVP.xlsx", kit[::-1]), "vlmevalkit"),
        ):
            found = imported(file, tool, options={"protocol": protocol}).score(50)
            assert found["metrics"] == ours["metrics"], (protocol, tool)


def test_captions(tmp_path: Path, shared: Path, nltk_data: Path) -> None:
    truth = tmp_path / "truth.json"
    truth.write_text('{"139": ["dog"], "285": ["bear"]}')
    options = {"tables": str(shared / "data/coco/chair_tables.json")}
    captions = {139: "A dog and a cat.", 285: "A bear."}
    lines = [{"image_id": id, "caption": caption} for id, caption in captions.items()]
    path = json_lines(tmp_path / "a.jsonl", lines)
    ours = score_answers_file("chair_coco", options, path, (), truth)
    logged: Rows = [
        {"target": "['dog']", "said": caption, "input": "Please describe this image in detail.",
         "coco_cap_chair_i": {"answer": ["dog"], "pred": ["dog"], "image_id": id}}
        for id, caption in captions.items()
    ]  # fmt: skip
    log = lmms(tmp_path, "coco_cap_chair", logged)
    found = imported(log, "lmms-eval", options=options, ground_truth=truth).score(50)
    assert found["metrics"] == ours["metrics"]
    with pytest.raises(UserError, match="give --ground-truth"):
        imported(log, "lmms-eval", options=options)


# lm-evaluation-harness 0.4: lm_eval/loggers/evaluation_tracker.py


def lm_eval_log(
    folder: Path, task: str, docs: list[tuple[dict[str, Any], str]], version: str = "0.4.9"
) -> Path:
    date = "2026-11-22T10-15-00.123456"
    rows = [
        {
            "doc_id": n, "doc": doc, "target": str(doc.get("answer", "")),
            "arguments": {"gen_args_0": {"arg_0": "ask", "arg_1": {"do_sample": False}}},
            "resps": [[said]], "filtered_resps": [said], "filter": "none", "metrics": ["x"],
            "doc_hash": "0", "prompt_hash": "0", "target_hash": "0", "x": 1.0,
        }
        for n, (doc, said) in enumerate(docs)
    ]  # fmt: skip
    folder.mkdir(exist_ok=True)
    results = {"model_name": MODEL, "lm_eval_version": version}
    (folder / f"results_{date}.json").write_text(json.dumps(results))
    return json_lines(folder / f"samples_{task}_{date}.jsonl", rows)


def pope_docs() -> list[tuple[dict[str, Any], str]]:
    """Documents of lmms-lab/POPE."""
    docs = []
    counts: dict[str, int] = {}
    for split, image, name, truth, said in POPE:
        counts[split] = counts.get(split, 0) + 1
        asked = f"Is there a {name} in the image?"
        docs.append(
            ({"id": "7", "question_id": str(counts[split]), "question": asked, "answer": truth,
              "image_source": image, "image": "<PIL.Image>", "category": split}, said)
        )  # fmt: skip
    return docs


def test_pope_of_lm_eval(tmp_path: Path) -> None:
    ours = pope_in_ours(tmp_path / "ours", ("adversarial", "popular", "random"))
    found = imported(lm_eval_log(tmp_path / "logs", "pope_custom", pope_docs()), "lm-eval")
    scored = found.score(50)
    assert (scored["metrics"], scored["n_images"]) == (ours["metrics"], 2)
    assert (found.model, found.version, found.decoding) == (MODEL, "0.4.9", {"do_sample": False})
    assert found.answers[0].image_id == "a.jpg"


def test_what_halluc_exports_is_read_back(tmp_path: Path) -> None:
    """The documents of `halluc.export.lm_eval`."""
    docs = [
        ({"id": f"{split}/{n}", "image": image, "question": "?", "group": split, "target": truth},
         said)
        for n, (split, image, _, truth, said) in enumerate(POPE, 1)
    ]  # fmt: skip
    ours = pope_in_ours(tmp_path / "ours", ("adversarial", "popular", "random"))
    found = imported(lm_eval_log(tmp_path / "logs", "pope_coco", docs), "lm-eval")
    assert found.score(50)["metrics"] == ours["metrics"]
    assert [answer.id for answer in found.answers] == [doc["id"] for doc, _ in docs]


# inspect_ai: EvalLog, version 2


def inspect_samples() -> Rows:
    return [
        {
            "id": n, "epoch": 1, "target": doc["answer"], "metadata": doc,
            "input": [{"role": "user", "content": [{"type": "image", "image": "x"},
                                                    {"type": "text", "text": doc["question"]}]}],
            "output": {"model": MODEL, "choices": [{"message": {"role": "assistant", "content": [
                {"type": "reasoning", "reasoning": "yes or no?"},
                {"type": "text", "text": said}]}}]},
        }
        for n, (doc, said) in enumerate(pope_docs(), 1)
    ]  # fmt: skip


def inspect_head(**changed: Any) -> dict[str, Any]:
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "task": "mine/pope", "model": f"hf/{MODEL}", "packages": {"inspect_ai": "0.3.200"},
            "model_generate_config": {"temperature": 0.0}, "dataset": {}, "config": {},
        },
        "plan": {"config": {"max_tokens": 16}},
        **changed,
    }  # fmt: skip


def archive(path: Path, head: dict[str, Any], samples: Rows) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("header.json", json.dumps(head))
        for one in samples:
            file.writestr(f"samples/{one['id']}_epoch_1.json", json.dumps(one))
    return path


def test_pope_of_inspect(tmp_path: Path) -> None:
    ours = pope_in_ours(tmp_path / "ours", ("adversarial", "popular", "random"))
    whole = tmp_path / "log.json"
    whole.write_text(json.dumps(inspect_head(samples=inspect_samples())))
    for path in (whole, archive(tmp_path / "log.eval", inspect_head(), inspect_samples())):
        found = imported(path, "inspect")
        scored = found.score(50)
        assert (scored["metrics"], scored["n_images"]) == (ours["metrics"], 2)
        assert any("7 answers are read without the thoughts" in note for note in scored["notes"])
        assert (found.model, found.version) == (f"hf/{MODEL}", "0.3.200")
        assert found.decoding == {"temperature": 0.0, "max_tokens": 16}


# What is refused, by name


def refused(tool: str, make: Callable[[Path], Path], message: str) -> Any:
    return pytest.param(tool, make, message, id=f"{tool}: {message[:30]}")


@pytest.mark.parametrize(
    ("tool", "make", "message"),
    [
        refused("helm", lambda f: json_lines(f / "a", [{}]), "--from 'helm': unknown, choose from"),
        refused("lmms-eval", lambda f: json_lines(f / "a.jsonl", [{}]), "is not named <date>_samp"),
        refused("lmms-eval", lambda f: json_lines(f / "1_samples_gqa.jsonl", [{}]), "is of 'gqa'"),
        refused(
            "lmms-eval",
            lambda f: json_lines(f / "1_samples_mme.jsonl", [{"doc_id": 1, "target": "Yes"}]),
            "line 1: has no filtered_resps, doc_hash; logs of lmms-eval 0.3 to 0.7 are read",
        ),
        refused("lm-eval", lambda f: json_lines(f / "samples.jsonl", [{}]), "is not named samples"),
        refused(
            "lm-eval",
            lambda f: lm_eval_log(f, "pope", pope_docs(), "0.5.0"),
            "is of lm-eval 0.5.0; logs of 0.4 are read",
        ),
        refused("lm-eval", lambda f: lm_eval_log(f, "hellaswag", pope_docs()), "is of 'hellaswag'"),
        refused("vlmevalkit", lambda f: workbook(f / "m_MMBench.xlsx", [{"a": 1}]), "is not a pre"),
        refused(
            "vlmevalkit",
            lambda f: workbook(f / "m_POPE_auxmatch.xlsx", [{"a": 1}]),
            "is not a prediction file",
        ),
        refused(
            "vlmevalkit",
            lambda f: workbook(f / "m_POPE.xlsx", [{"index": 1, "question": "?"}]),
            "row 2: has no answer, prediction; is it a prediction file",
        ),
        refused("vlmevalkit", lambda f: json_lines(f / "m_POPE.xlsx", [{}]), "is not an Excel wo"),
        refused(
            "open-vlm-records",
            lambda f: workbook(
                f / "m_POPE.xlsx",
                [{"index": 1, "question": "?", "answer": "Yes", "category": "random",
                  "prediction": "Yes"}],
            ),
            "OpenVLMRecords has it in a folder 'm'",
        ),
        refused("inspect", lambda f: json_array(f / "a.json", []), "is not an object in JSON"),
        refused(
            "inspect",
            lambda f: archive(f / "a.eval", inspect_head(version=3), inspect_samples()),
            "is a log of version 3; version 2 is read",
        ),
        refused(
            "inspect",
            lambda f: archive(f / "a.eval", inspect_head(status="error"), inspect_samples()),
            "ended with 'error'",
        ),
        refused(
            "inspect",
            lambda f: archive(
                f / "a.eval", inspect_head(), [one | {"epoch": 2} for one in inspect_samples()]
            ),
            "has several epochs",
        ),
        refused(
            "inspect",
            lambda f: archive(
                f / "a.eval", inspect_head(), [one | {"error": {}, "output": None}
                                               for one in inspect_samples()]
            ),
            "sample 1: has no output",
        ),
    ],
)  # fmt: skip
def test_unknown_layouts_are_refused(
    tmp_path: Path, tool: str, make: Callable[[Path], Path], message: str
) -> None:
    path = make(tmp_path)
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        log_of(path, tool)


def changed(**fields: Any) -> Callable[[Path], Path]:
    """A log of inspect_ai whose first sample has other fields."""
    first, *others = inspect_samples()
    return lambda folder: archive(folder / "a.eval", inspect_head(), [{**first, **fields}, *others])


def other_head(**fields: Any) -> Callable[[Path], Path]:
    return lambda folder: archive(folder / "a.eval", inspect_head(**fields), inspect_samples())


def lm_eval_changed(**fields: Any) -> Callable[[Path], Path]:
    """A log of lm-eval whose first line has other fields."""

    def make(folder: Path) -> Path:
        path = lm_eval_log(folder, "pope", pope_docs())
        first, *others = map(json.loads, path.read_text().splitlines())
        return json_lines(path, [{**first, **fields}, *others])

    return make


def lm_eval_doc(task: str, **doc: Any) -> Callable[[Path], Path]:
    return lambda folder: lm_eval_log(folder, task, [(doc, "Yes")])


def lmms_results(configs: Any) -> Callable[[Path], Path]:
    """A log of lmms-eval next to results with other configs."""

    def make(folder: Path) -> Path:
        path = lmms(folder, "pope_adv", pope_logged(POPE[:2]))
        (path.parent / f"{DATE}_results.json").write_text(json.dumps({"configs": configs}))
        return path

    return make


EXPORTED = {"id": "1", "image": "a", "question": "?", "group": "g", "target": "yes"}
CHOICE = {"message": {"content": "Yes"}}


@pytest.mark.parametrize(
    ("tool", "make", "message"),
    [
        refused("inspect", other_head(eval={"task": "pope", "packages": []}), "packages is []"),
        refused("inspect", other_head(plan={"config": [1]}), "plan: config is [1], not an object"),
        refused("inspect", lambda f: archive(f / "a.eval", [1], []), "header.json is [1], not an"),  # type: ignore[arg-type]
        refused("inspect", lambda f: torn(changed()(f)), "a.eval: cannot be read (Error"),
        refused(
            "inspect",
            lambda f: json_array(f / "a.json", inspect_head(samples={"a": 1})),  # type: ignore[arg-type]
            "samples is {'a': 1}, not a list",
        ),
        refused(
            "inspect",
            lambda f: json_array(f / "a.json", inspect_head(samples=[None])),  # type: ignore[arg-type]
            "sample 1 in its order: is None, not an object",
        ),
        refused("inspect", changed(metadata=[1]), "sample 1: metadata is [1], not an object"),
        refused("inspect", changed(input=None), "sample 1: input is None, not a text or a list"),
        refused("inspect", changed(input=["a"]), "sample 1: input is ['a'], not a text or a list"),
        refused("inspect", changed(output="Yes"), "sample 1: output is 'Yes', not an object"),
        refused("inspect", changed(output={"choices": {"a": 1}}), "choices of the output is {'a'"),
        refused(
            "inspect",
            changed(output={"choices": [{"message": {"content": None}}]}),
            "sample 1: content of the output is None, not a text or a list of objects",
        ),
        refused(
            "inspect",
            changed(output={"choices": [CHOICE, CHOICE]}),
            "sample 1: has 2 choices; repeats are not read",
        ),
        refused("inspect", changed(target="\ud83d"), r"has half of a character, \ud83d"),
        refused("lm-eval", lm_eval_changed(arguments=[["a", {}]]), "arguments is [['a', {}]], not"),
        refused("lm-eval", lm_eval_changed(arguments={"gen_args_0": ["a"]}), "gen_args_0 is ['a']"),
        refused("lm-eval", lm_eval_changed(resps=[["Yes", "No"]]), "repeats are not read"),
        refused("lm-eval", lm_eval_changed(resps=[["\ud83d"]]), "line 1: has half of a character"),
        refused("lm-eval", lm_eval_doc("hallusionbench", **EXPORTED), "target is 'yes', not an ob"),
        refused("lm-eval", lm_eval_doc("amber", **EXPORTED), "target is 'yes', not an object"),
        refused("lm-eval", lm_eval_doc("mmvp", **EXPORTED), "target is 'yes', not an object"),
        refused("lm-eval", lm_eval_doc("amber", id="AMBER_5"), "'id' is 'AMBER_5', not a whole nu"),
        refused("lm-eval", lm_eval_doc("mmvp", Index="x", Question="?", Options="?"), "'Index' is"),
        refused("lm-eval", lm_eval_doc("pope", question_id={"a": 1}), "question_id is {'a': 1}"),
        refused("lmms-eval", lmms_results([1]), "configs is [1], not an object"),
        refused("lmms-eval", lmms_results({"pope_adv": [1]}), "pope_adv is [1], not an object"),
        refused(
            "lmms-eval",
            lmms_results({"pope_adv": {"generation_kwargs": "x"}}),
            "generation_kwargs is 'x', not an object",
        ),
        refused(
            "lmms-eval",
            lambda f: lmms(f, "pope_adv", [one | {"resps": ["No", "Yes"]}
                                           for one in pope_logged(POPE[:2])]),
            "line 1: has not one response; repeats are not read",
        ),
        refused(
            "lmms-eval",
            lambda f: lmms(f, "mmvp", [{"target": "A", "said": "A", "input": "?\nA. x\nB. y",
                                        "mmvp_accuracy": {"pred_letter": "A", "gt": "A"}}]),
            "line 1: has no 'index'",
        ),
        refused("vlmevalkit", lambda f: torn(workbook(f / "m_POPE.xlsx", KIT_POPE)), "(Error -3"),
    ],
)  # fmt: skip
def test_what_a_log_should_not_hold_is_one_line(
    tmp_path: Path, tool: str, make: Callable[[Path], Path], message: str
) -> None:
    path = make(tmp_path)
    with pytest.raises(UserError, match=re.escape(message)) as raised:
        log_of(path, tool)
    assert len(str(raised.value).splitlines()) == 1


def test_what_a_log_may_leave_out(tmp_path: Path) -> None:
    bare = {"task": "pope", "packages": None, "model_generate_config": None}
    found = imported(other_head(plan=None, eval=bare)(tmp_path), "inspect")
    assert (found.version, found.model, found.decoding) == ("not stated", "not stated", None)
    assert imported(lmms_results(None)(tmp_path), "lmms-eval").decoding is None
    for fields in ({"arguments": None}, {"filter": ["a"]}):
        assert imported(lm_eval_changed(**fields)(tmp_path / "lm"), "lm-eval").answers


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    for tool in TOOLS:
        with pytest.raises(UserError, match="no such file"):
            log_of(tmp_path / "nowhere.json", tool)


def test_cells_of_a_workbook(tmp_path: Path) -> None:
    rows: Rows = [{"a": 1, "b": "x < y & z_x000D_", "c": None}, {"a": 2.5, "b": None, "c": "2"}]
    rows += [{"a": None, "b": None, "c": None}, {"a": 3, "b": "_xD83D__xDE00_", "c": "_xD83D_"}]
    found = sheet_rows(workbook(tmp_path / "a.xlsx", rows))
    assert [row.fields for row in found] == [
        {"a": 1, "b": "x < y & z\r", "c": ""},
        {"a": 2.5, "b": "", "c": "2"},
        {"a": 3, "b": "\N{GRINNING FACE}", "c": "\N{REPLACEMENT CHARACTER}"},
    ]
    assert [row.where.rsplit(" ", 1)[1] for row in found] == ["2", "3", "5"]
    with pytest.raises(UserError, match=r"a\.xlsx row 1: two columns are named 'a'; keep one"):
        sheet_rows(edited(tmp_path / "a.xlsx", ("<t xml:space='preserve'>b<", "<t>a<")))


def edited(path: Path, *changes: tuple[str, str]) -> Path:
    """Change the XML of a workbook."""
    with zipfile.ZipFile(path) as book:
        texts = {name: book.read(name).decode() for name in book.namelist()}
    with zipfile.ZipFile(path, "w") as book:
        for name, text in texts.items():
            for old, new in changes:
                text = text.replace(old, new)
            book.writestr(name, text)
    return path


def torn(path: Path) -> Path:
    """Damage what a packed zip's first file holds, and no header."""
    with zipfile.ZipFile(path) as book:
        texts = {name: book.read(name) for name in book.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        for name, text in texts.items():
            book.writestr(name, text)
        start = [info.header_offset + 30 + len(info.filename) for info in book.infolist()]
        sizes = [info.compress_size for info in book.infolist()]
    raw = bytearray(path.read_bytes())
    for at, size in zip(start, sizes, strict=True):
        raw[at : at + size] = b"\xff" * size
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('t="s"><v>0', 't="s"><v>99'), r"row 1: cell A1 is text '99' of 2; is the workbook dam"),
        (("<v>7</v>", "<v>2026-11-22</v>"), r"row 2: cell A2 holds '2026-11-22', not a number"),
    ],
)
def test_a_damaged_cell_is_one_line(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = edited(workbook(tmp_path / "a.xlsx", [{"a": 7, "b": 1}]), change)
    with pytest.raises(UserError, match=message):
        sheet_rows(path)


def test_a_date_in_a_workbook_is_a_text(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", [{"a": 7}])
    path = edited(path, ('<c r="A2"><v>7</v>', '<c r="A2" t="d"><v>2026-11-22</v>'))
    assert sheet_rows(path)[0].fields == {"a": "2026-11-22"}


KIT_POPE: Rows = [
    {"index": n, "question": f"Is there a {name} in the image?", "answer": truth,
     "category": "random", "image_path": "a.jpg", "prediction": "Yes"}
    for n, (name, truth) in enumerate([("dog", "Yes"), ("cat", "No"), ("cow", "No")])
]  # fmt: skip


def test_vlmevalkits_empty_prediction_is_an_empty_answer(tmp_path: Path) -> None:
    rows = [dict(row) for row in KIT_POPE]
    rows[1]["prediction"] = None  # xlsxwriter writes no cell for ""
    found = imported(workbook(tmp_path / "m_POPE.xlsx", rows), "vlmevalkit")
    assert [answer.text for answer in found.answers] == ["Yes", "", "Yes"]
    for at in range(3):
        rows[at]["prediction"] = None
    found = imported(workbook(tmp_path / "m_POPE.xlsx", rows), "vlmevalkit")
    assert [answer.text for answer in found.answers] == ["", "", ""]


def test_a_prediction_that_failed_is_no_answer(tmp_path: Path) -> None:
    rows = [dict(row) for row in KIT_POPE]
    rows[1]["prediction"] = "Failed to obtain answer via API. "
    path = json_array(tmp_path / "m_POPE.json", rows)
    found = imported(path, "vlmevalkit")
    assert [answer.status for answer in found.answers] == ["ok", "failed", "ok"]
    assert (found.answers[1].text, found.answers[1].error) == (
        "",
        "VLMEvalKit: Failed to obtain answer via API.",
    )
    scored = found.score(0)
    assert (scored["n"], scored["unparseable"]) == (2, 0)
    assert "1 of 3 answers failed, and are left out" in scored["notes"]
    assert keep_imported(found, path, tmp_path / "runs", {}).scores.failed == 1


@pytest.mark.parametrize("said", [None, float("nan"), {"text": "Yes"}, ["Yes"], True])
def test_a_prediction_is_a_text(tmp_path: Path, said: Any) -> None:
    rows = [KIT_POPE[0], KIT_POPE[1] | {"prediction": said}]
    with pytest.raises(UserError, match=r"POPE\.json line 10: prediction is .*, not a text"):
        imported(json_array(tmp_path / "m_POPE.json", rows), "vlmevalkit")
    rows[1]["prediction"] = 1
    found = imported(json_array(tmp_path / "m_POPE.json", rows), "vlmevalkit")
    assert found.answers[1].text == "1"


def test_rows_of_vlmevalkit_are_told_by_their_index(tmp_path: Path) -> None:
    again = [*KIT_POPE, KIT_POPE[1]]
    with pytest.raises(UserError, match=r"row 5: .*'1'.*row 3"):
        imported(workbook(tmp_path / "m_POPE.xlsx", again), "vlmevalkit")
    twice = [KIT_POPE[0] | {"category": "random, popular,random"}]
    with pytest.raises(UserError, match=r"row 2: category .* is not a list of splits"):
        imported(workbook(tmp_path / "m_POPE.xlsx", twice), "vlmevalkit")
    pairs: Rows = [
        {"index": n + (n > 8), "question": "Is it?", "A": 1, "B": 2, "answer": "A",
         "category": "x", "prediction": "A"}
        for n in range(1, 301)
    ]  # fmt: skip
    with pytest.raises(UserError, match=r"row 10: index 10 where 9 is next; is one missing\?"):
        imported(workbook(tmp_path / "m_MMVP.xlsx", pairs), "vlmevalkit")
    found = imported(
        workbook(tmp_path / "m_MMVP.xlsx", [p | {"index": n} for n, p in enumerate(pairs)]),
        "vlmevalkit",
    )
    assert found.answers[0].target["options"] == "Is it? (a) 1 (b) 2"


# Run folders


def test_a_log_becomes_a_run_folder(tmp_path: Path) -> None:
    rows = pope_logged([row for row in POPE if row[0] == "popular"])
    log = lmms(tmp_path, "pope_pop", rows, {"temperature": 0, "num_beams": 3})
    other = pope_logged([(*row[:4], "No") for row in POPE if row[0] == "popular"])
    changed = lmms(tmp_path / "vcd", "pope_pop", other, {"temperature": 0, "num_beams": 3})
    kept = []
    for path, given in ((log, {}), (changed, {"against": "base", "name": "with_vcd"})):
        found = imported(path, "lmms-eval")
        if given:
            found = replace(found, method="vcd")
        named = {"name": "base"} | given
        kept.append(keep_imported(found, path, tmp_path / "runs", {}, **named))
    base, vcd = kept
    asker = base.run.asker
    assert asker.record is not None
    assert asker.record.tool == "lmms-eval main@75571cfe"
    assert asker.record.decoding == "temperature=0, num_beams=3"
    assert (asker.decoding.num_beams, asker.decoding.do_sample) == (3, False)
    assert (asker.method.name, vcd.run.asker.method.name) == ("baseline", "vcd")
    assert asker.setting == vcd.run.asker.setting  # what makes them a pair
    assert (base.scores.n, base.scores.totals["popular/tp"]) == (3, 1)
    assert (vcd.scores.totals["popular/tp"], vcd.scores.totals["popular/tn"]) == (0, 1)
    assert base.scores.key == vcd.scores.key


@pytest.mark.parametrize(
    ("stated", "found"),
    [
        ({}, {"do_sample": False}),
        ({"temperature": 0, "top_p": 1.0}, {"do_sample": False, "temperature": 1.0}),
        ({"temperature": 0.7, "top_p": 0.9}, {"do_sample": True, "temperature": 0.7, "top_p": 0.9}),
        ({"do_sample": False, "temperature": 0.7}, {"do_sample": False, "temperature": 1.0}),
        ({"do_sample": True}, {"do_sample": True, "temperature": 1.0}),
        ({"num_beams": 5, "do_sample": False, "until": ["x"]}, {"num_beams": 5}),
        ({"temperature": "0"}, {"do_sample": False}),
        ({"do_sample": "False", "temperature": 0.7}, {"do_sample": False, "temperature": 1.0}),
        ({"do_sample": True, "temperature": 0}, {"do_sample": False}),
        ({"temperature": 0.7, "top_k": -1}, {"do_sample": True, "top_k": 0}),
    ],
)
def test_decoding_as_harnesses_state_it(stated: dict[str, Any], found: dict[str, Any]) -> None:
    decoding = decoding_of(stated).model_dump()
    assert {key: decoding[key] for key in found} == found


def test_a_decoding_is_stated_only_where_the_log_says_how_tokens_were_chosen(
    tmp_path: Path,
) -> None:
    for gen, stated in (
        ({"max_new_tokens": 16, "num_beams": 1}, None),
        ({"temperature": None, "until": ["x"]}, None),
        ({"max_new_tokens": 16, "temperature": 0}, "max_new_tokens=16, temperature=0"),
        ({"do_sample": False}, "do_sample=False"),
    ):
        log = lmms(tmp_path, "pope_pop", pope_logged(POPE[2:4]), gen)
        kept = keep_imported(imported(log, "lmms-eval"), log, tmp_path / "runs", {})
        assert kept.run.asker.record is not None
        assert kept.run.asker.record.decoding == stated
