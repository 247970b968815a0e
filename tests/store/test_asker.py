"""What an answer depends on is its asker's key; what it does not depend on is not in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from halluc.config import DecodingConfig, MethodConfig, ModelConfig
from halluc.errors import UserError
from halluc.interventions import REGISTRY
from halluc.interventions.compose import find
from halluc.interventions.method_source import source_hash
from halluc.store import Asker, RunFolder

WHERE = {"python": "3.11"}


def asker(**changes: Any) -> Asker:
    values: dict[str, Any] = {
        "model": ModelConfig(name="org/model", dtype="float32", device="cpu"),
        "model_id": "org/model",
        "weights": "feedbeef00",
        "image_processing": "CLIPImageProcessor 0000000000",
        "method": MethodConfig(name="var", resolved={"keep": 0.4}),
        "method_source": "0123456789",
        "decoding": DecodingConfig(),
        "engine": 1,
        "versions": {"torch": "2.13.0"},
    }
    return Asker(**values | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"model_id": "org/other"},
        {"weights": "feedbeef01"},
        {"image_processing": "pad"},
        {"method": MethodConfig(name="var", resolved={"keep": 0.5})},
        {"method": MethodConfig(name="vhr", resolved={"keep": 0.4})},
        {"method_source": "0123456780"},
        {"decoding": DecodingConfig(num_beams=2)},
        {"decoding": DecodingConfig(seed=1)},
        {"engine": 2},
        {"versions": {"torch": "2.14.0"}},
        {"model": ModelConfig(name="org/model", dtype="float16", device="cpu")},
        {"model": ModelConfig(name="org/model", dtype="float32", device="cuda")},
        {"model": ModelConfig(dtype="float32", device="cpu", quantization="4bit")},
        {"model": ModelConfig(dtype="float32", device="cpu", image_aspect="pad")},
        {"model": ModelConfig(dtype="float32", device="cpu", trust_remote_code=True)},
    ],
)
def test_the_key_differs_where_answers_may(changes: dict[str, Any]) -> None:
    assert asker(**changes).key != asker().key


@pytest.mark.parametrize(
    "changes",
    [
        {"method": MethodConfig(name="var", params={"keep": 0.4}, resolved={"keep": 0.4})},
        {"method": MethodConfig(name="var", calibration="var on x", resolved={"keep": 0.4})},
        {"model": ModelConfig(name="/elsewhere/model", dtype="float32", device="cpu")},
        {"model": ModelConfig(dtype="float32", device="cpu", device_map="auto")},
        {"model": ModelConfig(dtype="float32", device="cpu", revision="main")},
        {"model": ModelConfig(dtype="float32", device="cpu", pickled_weights=True)},
    ],
)
def test_the_key_is_the_same_where_answers_are(changes: dict[str, Any]) -> None:
    assert asker(**changes).key == asker().key


def test_what_was_allowed_is_named(tmp_path: Path) -> None:
    model = ModelConfig(name="org/model", trust_remote_code=True, pickled_weights=True)
    folder = RunFolder.of(tmp_path, asker(model=model))
    folder.create(WHERE)
    said = json.loads((folder.path / "asker.json").read_text())["asker"]["model"]
    assert (said["trust_remote_code"], said["pickled_weights"]) == (True, True)


def test_an_edited_asker_is_not_believed(tmp_path: Path) -> None:
    folder = RunFolder.of(tmp_path, asker())
    folder.create(WHERE)
    assert RunFolder.read(folder.path).asker == asker()
    file = folder.path / "asker.json"
    file.write_text(file.read_text().replace('"var"', '"vhr"'))
    with pytest.raises(UserError, match=r"asker\.json: says key .* it was edited"):
        RunFolder.read(folder.path)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "[1]", "{}", '{"asker": {}, "key": "1"}', "[" * 9999]
)
def test_a_broken_asker_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "asker.json").write_text(content)
    with pytest.raises(UserError, match="is not a run folder") as error:
        RunFolder.read(tmp_path)
    assert "\n" not in str(error.value)


def test_an_asker_of_half_a_character_is_one_line(tmp_path: Path) -> None:
    folder = RunFolder.of(tmp_path, asker())
    folder.create(WHERE)
    file = folder.path / "asker.json"
    file.write_text(file.read_text().replace('"keep": 0.4', r'"keep": {"\ud83d": 1}'))
    with pytest.raises(UserError, match="is not a run folder"):
        RunFolder.read(folder.path)


def test_names_make_a_folder_name_of_any_model(tmp_path: Path) -> None:
    for name in ("openai:" + "y" * 300, "../../etc", "a b\n[b]\x1b"):
        folder = RunFolder.of(tmp_path, asker(model_id=name))
        folder.create(WHERE)
        assert folder.path.parent == tmp_path
        assert (folder.path / "asker.json").is_file()


def test_a_method_is_known_by_the_modules_it_is_made_of() -> None:
    names = REGISTRY.names()
    hashes = {name: source_hash(find(name)) for name in names}
    assert len(set(hashes.values())) == len(names) - (  # classes of one file share its hash
        len(names) - len({find(name).__module__ for name in names})
    )
    assert source_hash(find("vhr+var")) not in hashes.values()
    assert source_hash(find("vhr+var")) == source_hash(find("vhr+var"))


def test_a_shared_file_of_methods_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    read, before = Path.read_text, source_hash(find("opera"))
    unrelated = source_hash(find("paint"))

    def edited(self: Path, *args: Any, **options: Any) -> str:
        text = read(self, *args, **options)
        return text + "# edited\n" if self.name == "_over_trust.py" else text

    shared = {p.name for p in (Path(__file__).parents[2] / "methods").glob("_*.py")}
    assert "_over_trust.py" in shared
    monkeypatch.setattr(Path, "read_text", edited)
    assert source_hash(find("opera")) != before
    assert source_hash(find("paint")) == unrelated


def test_a_method_typed_in_a_notebook_is_known_by_its_functions() -> None:
    def make(body: str) -> type:
        scope: dict[str, Any] = {"__name__": "__main__of_a_notebook"}
        exec(f"class M:\n    def hidden(self, at, hidden):\n        return {body}\n", scope)
        made: type = scope["M"]
        return made

    one, same, other = (source_hash(make(body)) for body in ("hidden", "hidden", "hidden * 2"))
    assert one == same
    assert one != other
