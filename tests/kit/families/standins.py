"""Processors that transformers has on torchvision alone, on PIL as far as tests need them."""

from __future__ import annotations

from typing import Any

from transformers import BatchFeature, ProcessorMixin
from transformers.image_utils import SizeDict
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.siglip2.image_processing_pil_siglip2 import (
    Siglip2ImageProcessorKwargs,
    Siglip2ImageProcessorPil,
)


class Cohere2VisionImages(GotOcr2ImageProcessorPil):
    """Tiles as GOT-OCR2's; `patch_size` counts a tile's tokens along one side."""

    patch_size = 2


class _Rows(Siglip2ImageProcessorKwargs, total=False):
    return_row_col_info: bool


class Lfm2VlImages(Siglip2ImageProcessorPil):
    """One tile of 2 x 2 or 2 x 3 tokens an image, each made of 2 x 2 patches."""

    valid_kwargs = _Rows
    use_thumbnail = False
    tile_size = 32
    downsample_factor = 2
    encoder_patch_size = 8

    def _preprocess(  # type: ignore[override]  # its bases disagree
        self, images: list[Any], **settings: Any
    ) -> BatchFeature:
        wide = (SizeDict(height=32, width=32), SizeDict(height=32, width=48))
        sized = [self.resize(image, wide[image.shape[2] > image.shape[1]]) for image in images]
        made = super()._preprocess(sized, **settings | {"do_resize": False})
        shapes = made["spatial_shapes"].tolist()
        made["image_rows"] = made["image_cols"] = [1] * len(shapes)
        made["image_sizes"] = [[side * self.encoder_patch_size for side in s] for s in shapes]
        return made


class PixtralProcessor(ProcessorMixin):
    """Puts a line of image tokens and a break for each line of patches."""

    def __init__(
        self, image_processor: Any, tokenizer: Any, patch_size: int, chat_template: str
    ) -> None:
        self.patch_size = patch_size
        self.image_token = "[IMG]"
        super().__init__(  # type: ignore[no-untyped-call]  # transformers annotates nothing
            image_processor, tokenizer, chat_template=chat_template
        )

    def replace_image_token(self, image_inputs: dict[str, Any], image_idx: int, **_: Any) -> str:
        height, width = (side // self.patch_size for side in image_inputs["image_sizes"][image_idx])
        lines = ["[IMG]" * width] * height
        return "[IMG_BREAK]".join(lines) + "[IMG_END]"
