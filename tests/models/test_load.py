"""Loading: options do what they say, and what is broken is refused in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import CLIPVisionConfig, LlamaConfig, LlamaForCausalLM

from halluc.config import DecodingConfig, MethodConfig, ModelConfig, RunConfig
from halluc.doctor import PROMISES, check
from halluc.errors import UserError
from halluc.evaluation import evaluate, open_model
from halluc.interventions.requirements import needs_masks
from halluc.methods.agla import AGLA
from halluc.methods.baseline import Baseline
from halluc.methods.var import VAR
from halluc.models import VisionLanguageModel, load_model
from halluc.models.load import load_config
from halluc.models.load_errors import in_one_line
from tests.kit.asking import answer, prepared, questions
from tests.kit.families import llava


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    """One that may be broken."""
    return shutil.copytree(tiny, tmp_path / "broken")


def logits(model: VisionLanguageModel | Path, **options: Any) -> torch.Tensor:
    if isinstance(model, Path):
        model = load_model(str(model), **options)
    wide = Image.new("RGB", (64, 32), (200, 30, 30))
    inputs = model.encode([model.render("is there a dog ?")], [wide])
    with torch.inference_mode():
        found: torch.Tensor = model.model(**inputs).logits[0, -1].float()
    return found


# -- broken checkpoints --------------------------------------------------------------------------


def keep_bytes(name: str, count: int) -> Callable[[Path], object]:
    def cut(folder: Path) -> None:
        file = folder / name
        file.write_bytes(file.read_bytes()[:count])

    return cut


def without(*names: str) -> Callable[[Path], object]:
    def remove(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return remove


def configured(**changes: Any) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        file = folder / "config.json"
        config = json.loads(file.read_text())
        text = changes.pop("text_config", {})
        config["text_config"] |= text
        file.write_text(json.dumps(config | changes))

    return change


def sharded(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    llava().model.save_pretrained(folder, max_shard_size="20KB")
    sorted(folder.glob("model-*"))[1].unlink()


def written(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (keep_bytes("model.safetensors", 0), "its weights are damaged"),
        (keep_bytes("model.safetensors", 5000), "its weights are damaged"),
        (keep_bytes("model.safetensors", 100_000), "its weights are damaged"),
        (without("model.safetensors"), "no file named model.safetensors"),
        (sharded, "model-00002-of-000"),
        (configured(text_config={"num_hidden_layers": 5}), "its checkpoint lacks 9 weights, first"),
        (configured(text_config={"intermediate_size": 32}), r"12 weights are not of the shape"),
        (without("processor_config.json"), "the processor of model .*; put all that processor"),
        (without("tokenizer.json", "tokenizer_config.json"), "the processor of model .*; put all"),
        (written("config.json", "{"), "not a valid JSON"),
        (written("config.json", "{}"), "Unrecognized model"),
        (configured(model_type="nolava"), "(nolava|Unrecognized)"),
    ],
    ids=[
        "empty-weights", "cut-header", "cut-weights", "no-weights", "missing-shard", "fewer-layers",
        "shapes", "no-processor", "no-tokenizer", "cut-config", "empty-config", "unknown-type",
    ],
)  # fmt: skip
def test_a_broken_checkpoint_is_refused_in_one_line(
    damage: Callable[[Path], object], reason: str, copy: Path
) -> None:
    damage(copy)
    with pytest.raises(UserError, match=reason) as refused:
        load_model(str(copy))
    assert "\n" not in str(refused.value)
    assert str(copy) in str(refused.value)


def test_a_package_that_an_image_processor_needs_is_named() -> None:
    said = (
        "Could not load any image processor class for x. None of these classes could be imported. "
        "Missing optional dependencies: torchvision. Please install the missing dependencies."
    )
    with pytest.raises(UserError) as refused, in_one_line("the processor of model 'x'", "put all"):
        raise ValueError(said)
    assert str(refused.value) == (
        "the processor of model 'x' cannot be loaded: its family reads images with torchvision: "
        "pip install 'halluc[families]'"
    )


def test_a_processor_without_images_is_refused(copy: Path) -> None:
    file = copy / "processor_config.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({key: v for key, v in content.items() if key != "image_processor"}))
    with pytest.raises(UserError, match="the processor of model"):
        load_model(str(copy))


def test_a_text_only_model_is_refused_before_its_weights_are_read(tmp_path: Path) -> None:
    config = LlamaConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        vocab_size=32,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    for load in (load_config, load_model):
        with pytest.raises(UserError, match=r"is a llama model, which .* questions about images"):
            load(str(tmp_path))


def test_an_unsupported_family_is_refused(tmp_path: Path) -> None:
    CLIPVisionConfig().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="is a clip_vision_model model, which"):
        load_config(str(tmp_path))


# -- options -------------------------------------------------------------------------------------


def test_python_code_of_a_checkpoint_runs_only_if_asked(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_MODULES_CACHE", str(copy / "modules"))
    ran = copy / "ran"
    (copy / "mine.py").write_text(
        "from pathlib import Path\n"
        "from transformers import LlavaConfig\n"
        f"Path({str(ran)!r}).touch()\n"
        "class Config(LlavaConfig):\n"
        "    model_type = 'mine'\n"
    )
    configured(model_type="mine", auto_map={"AutoConfig": "mine.Config"})(copy)
    with pytest.raises(UserError, match=r"Python code of its own; .* trust_remote_code=true"):
        load_config(str(copy))
    assert not ran.exists()
    assert load_config(str(copy), trust_remote_code=True).model_type == "mine"
    assert ran.exists()


def test_dtype_and_attention_are_what_was_asked_for(tiny: Path) -> None:
    stock = logits(tiny)
    assert load_model(str(tiny)).loaded_as == {
        "dtype": "float32",
        "device": "cpu",
        "attn_implementation": "sdpa",
    }
    assert load_model(str(tiny), dtype="bfloat16").loaded_as["dtype"] == "bfloat16"
    assert load_model(str(tiny), attn_implementation="eager").text_attention == "eager"
    assert torch.allclose(logits(tiny, attn_implementation="eager"), stock, atol=1e-5)


def test_padding_to_a_square_changes_what_the_model_sees(tiny: Path) -> None:
    model = load_model(str(tiny), image_aspect="pad")
    wide = Image.new("RGB", (64, 32), (200, 30, 30))
    square = Image.new("RGB", (64, 64), (122, 116, 104))  # CLIP's mean colour
    square.paste(wide, (0, 16))
    native = load_model(str(tiny))
    by_hand = native.encode([native.render("is there a dog ?")], [square])["pixel_values"]
    rendered = model.render("is there a dog ?")
    assert torch.equal(model.encode([rendered], [wide])["pixel_values"], by_hand)
    assert not torch.equal(native.encode([rendered], [wide])["pixel_values"], by_hand)


def test_device_map_gives_the_same_logits(tiny: Path) -> None:
    pytest.importorskip("accelerate")
    assert torch.equal(logits(tiny, device_map="auto"), logits(tiny))
    with pytest.raises(UserError, match=r"device_map=auto spreads .* leave out device=cpu"):
        load_model(str(tiny), device_map="auto", device="cpu")


def test_quantisation_rounds_linear_layers() -> None:
    bnb = pytest.importorskip("bitsandbytes", reason="needs pip install bitsandbytes")
    stock = load_model("glyph")
    four, eight = (load_model("glyph", quantization=bits) for bits in ("4bit", "8bit"))
    rounded: Any = four.self_attention[0].o_proj
    weight = rounded.weight
    assert weight.quant_state.quant_type == "nf4"
    restored = bnb.functional.dequantize_4bit(weight.data, weight.quant_state)
    plain: Any = stock.self_attention[0].o_proj
    exact = plain.weight.detach()
    # NF4's relative error on normally distributed weights is about 0.09.
    assert (restored - exact).norm() / exact.norm() == pytest.approx(0.09, abs=0.03)
    assert 0 < (logits(eight) - logits(stock)).abs().max() < 0.5


@pytest.mark.parametrize(
    ("options", "missing", "line"),
    [
        ({"device_map": "auto"}, "accelerate", "accelerate: pip install accelerate"),
        ({"quantization": "4bit"}, "bitsandbytes", "bitsandbytes: pip install bitsandbytes"),
        (
            {"attn_implementation": "flash_attention_2"},
            "flash_attn",
            "flash-attn: pip install flash-attn",
        ),
    ],
)
def test_a_missing_package_is_one_line_with_the_command(
    options: dict[str, str], missing: str, line: str, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("halluc.errors.find_spec", lambda name: None if name == missing else name)
    (option,) = options.items()
    with pytest.raises(UserError, match=f"^{option[0]}={option[1]} needs {line}$"):
        load_model(str(tiny), **options)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"quantization": "3bit"}, "'quantization': input should be '4bit' or '8bit'"),
        ({"image_aspect": "squash"}, "'image_aspect': input should be 'native' or 'pad'"),
        ({"device_map": "every"}, "'device_map': input should be 'auto'"),
        ({"dytpe": "auto"}, "unknown parameter 'dytpe'; did you mean 'dtype'"),
        ({"trust_remote_code": "perhaps"}, "'trust_remote_code': input should be a valid boolean"),
    ],
)
def test_options_are_checked_first(options: dict[str, str], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        load_model("nobody/nothing", **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a GPU")
def test_a_device_that_is_not_there(tiny: Path) -> None:
    with pytest.raises(UserError, match=r"^device=cuda cannot be used here: .*CUDA"):
        load_model(str(tiny), device="cuda")


def test_options_are_recorded_and_name_the_run(tiny: Path, tmp_path: Path) -> None:
    runs = []
    for options in ({}, {"image_aspect": "pad"}, {"attn_implementation": "eager"}):
        config = RunConfig(
            model=ModelConfig(name=str(tiny), **options),
            benchmarks=("glyph_mme",),
            limit=1,
            decoding=DecodingConfig(max_new_tokens=1),
        )
        runs.append(evaluate(config, tmp_path))
    assert len({run.folder.asker.key for run in runs}) == 3
    written = [json.loads((run.folder.path / "asker.json").read_text()) for run in runs]
    recorded = [content["asker"]["model"] for content in written]
    assert [model["image_aspect"] for model in recorded] == ["native", "pad", "native"]
    assert [model["attn_implementation"] for model in recorded] == ["sdpa", "sdpa", "eager"]
    assert recorded[0]["trust_remote_code"] is False
    assert {"device_map", "quantization", "revision", "dtype", "device"} <= recorded[0].keys()


def test_methods_work_on_eager_attention_as_on_sdpa(tiny: Path) -> None:
    eager, sdpa = (load_model(str(tiny), attn_implementation=name) for name in ("eager", "sdpa"))
    for name in ("var", "vhr", "paint", "vmtc", "cmai"):
        one, other = (
            answer(model, prepared(name, model), questions(model, 0, 1)).logits
            for model in (eager, sdpa)
        )
        assert torch.allclose(one, other, atol=1e-4)
    assert all(
        check(promise, eager, questions(eager, 0, 1)).status == "kept"
        for promise in PROMISES.values()
    )


def test_flash_attention_is_refused_where_attention_is_edited() -> None:
    needs_masks(Baseline, "flash_attention_2")
    needs_masks(AGLA, "flash_attention_2")  # streams and logits alone
    with pytest.raises(UserError, match=r"'var' edits attention, and flash_attention_2 takes no"):
        needs_masks(VAR, "flash_attention_2")
    config = RunConfig(
        model=ModelConfig(name="nobody/nothing", attn_implementation="flash_attention_2"),
        method=MethodConfig(name="paint"),
    )
    with pytest.raises(UserError, match=r"'paint' edits attention"):
        open_model(config)
