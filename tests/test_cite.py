"""BibTeX of methods: an entry a paper, names as BibTeX joins them."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from halluc.cli.app import app
from halluc.cli.cite import authors, bibtex
from halluc.interventions import REGISTRY, MethodCard


def test_authors() -> None:
    assert authors("Leng et al.") == "Leng and others"
    assert authors("Liu, Ye, Xing and Zou") == "Liu and Ye and Xing and Zou"
    assert authors("halluc (ours; no paper)") == "halluc"


def test_an_entry_by_hand() -> None:
    card = MethodCard(
        "Seeing & Not", "A and B", 2025, "CVPR", "arXiv:2501.00001", "https://a/b_c@1"
    )
    assert bibtex("see", card).splitlines() == [
        "@inproceedings{see,",
        r"  title = {{Seeing \& Not}},",
        "  author = {A and B},",
        "  year = {2025},",
        "  booktitle = {CVPR},",
        "  eprint = {2501.00001},",
        "  archiveprefix = {arXiv},",
        r"  note = {Code: \url{https://a/b_c@1}},",
        "}",
    ]


@pytest.mark.parametrize("name", REGISTRY.names())
def test_every_method_can_be_cited(name: str) -> None:
    entry = bibtex(name, REGISTRY.get(name).card)
    assert entry.count("{") == entry.count("}")
    assert re.match(r"@(misc|inproceedings)\{", entry) and "title = {{" in entry


def test_the_command_cites_parts_once() -> None:
    done = CliRunner().invoke(app, ["cite", "vcd+vhr", "vcd"])
    assert done.exit_code == 0
    assert [line for line in done.output.splitlines() if line.startswith("@")] == [
        "@inproceedings{vcd,",
        "@inproceedings{vhr,",
    ]
