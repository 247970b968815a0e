"""The asker: a model with a method, and all else that its answers depend on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from halluc.config import DecodingConfig, MethodConfig, ModelConfig, content_hash
from halluc.interventions.method_source import source_hash
from halluc.models.names import EMBEDDED, endpoint_name
from halluc.provenance import ENGINE, library_versions
from halluc.store.record import Record

if TYPE_CHECKING:
    from halluc.interventions import Method


class Asker(BaseModel):
    """What a stored answer depends on besides its prompt, its image and its token limit.

    Attributes:
        model: How the model was loaded.
        model_id: The name by which its answers are known: of a local folder the last part, so
            that a folder can be moved.
        weights: Hash of the model's folder, or the hub's commit.
        image_processing: The aspect images are given, the image processor's class, and a hash of
            its settings.
        method: The method, with the parameters it ran with as `resolved`.
        method_source: Hash of the source of the method's own modules.
        decoding: How tokens are chosen; the token limit is a part of each answer.
        engine: Version of what serves methods and generates.
        versions: Of the libraries beneath.
        record: What is known of answers that were not asked here; None for those that were.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: ModelConfig
    model_id: str
    weights: str
    image_processing: str
    method: MethodConfig
    method_source: str
    decoding: DecodingConfig
    engine: int
    versions: dict[str, str]
    record: Record | None = None

    @classmethod
    def of(
        cls,
        model: ModelConfig,
        weights: str,
        image_processing: str,
        method: Method,
        given: MethodConfig,
        decoding: DecodingConfig,
    ) -> Asker:
        """Describe a loaded model and a method made for it.

        Args:
            model: How the model was loaded.
            given: The method as the user asked for it.
        """
        resolved = method.params.model_dump(mode="json")
        return cls(
            model=model,
            model_id=_model_id(model.name),
            weights=weights,
            image_processing=image_processing,
            method=given.model_copy(update={"resolved": resolved}),
            method_source=source_hash(type(method)),
            decoding=decoding.model_copy(update={"max_new_tokens": None}),
            engine=ENGINE,
            versions=library_versions(),
        )

    @property
    def key(self) -> str:
        """Ten hex digits that differ where answers may differ.

        Which parameters the user typed, where a calibration came from, and over which devices a
        model is spread are not in it; a hub model's revision is, by the commit it stands for.
        """
        content = self._content()
        content["method"] = {"name": self.method.name, "resolved": self.method.resolved}
        return content_hash(content)

    @property
    def folder_name(self) -> str:
        """The name of its folder: <model>-<method>-<key>."""
        return f"{_plain(self.model_id)}-{_plain(self.method.name)}-{self.key}"

    @property
    def setting(self) -> str:
        """The same without the method: what a baseline must share with a method.

        Recorded answers share it with the record that they are compared with, of the same model.
        """
        if self.record is not None:
            return content_hash(["recorded", self.model_id, self.record.baseline])
        return content_hash(self._content(exclude={"method", "method_source"}))

    def _content(self, exclude: set[str] | None = None) -> dict[str, Any]:
        content = self.model_dump(mode="json", exclude_defaults=True, exclude=exclude)
        for name in ("name", "revision", "device_map", "pickled_weights"):
            content["model"].pop(name, None)
        return content


def _model_id(name: str) -> str:
    if name in EMBEDDED or endpoint_name(name) is not None:
        return name
    path = Path(name).expanduser()
    return path.resolve().name if path.exists() else name


def _plain(name: str) -> str:
    return re.sub(r"[^\w.+]+", "_", name).strip("_")[:80]
