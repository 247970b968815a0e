"""Auxiliary models, which methods look at images with: found by name, loaded when needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoProcessor

from halluc.errors import UserError
from halluc.models.fingerprint import folder_hash
from halluc.models.load_errors import in_one_line

EMBEDDED = "glyph"
"""Names the one for drawn scenes, which ships with the package."""


@dataclass(frozen=True)
class AuxiliaryModel:
    """An auxiliary model, known before its weights are loaded.

    Attributes:
        role: What it is used as, such as "detector".
        path: What `from_pretrained` takes.
        revision: The commit of a hub model if one was asked for, the hash of a local one.
        config: Its configuration.
    """

    role: str
    path: str
    revision: str | None
    config: Any

    def load(self, model_class: Any, device: torch.device | str) -> tuple[Any, Any]:
        """Load it in float32, without gradients; return its processor and the model.

        Raises:
            UserError: If weights or processor are missing or damaged.
        """
        hub = {} if Path(self.path).is_dir() else {"revision": self.revision}
        with in_one_line(f"{self.role} {self.path!r}"):
            processor = AutoProcessor.from_pretrained(self.path, **hub)
            model = model_class.from_pretrained(
                self.path, dtype=torch.float32, weights_only=True, **hub
            )
        return processor, model.to(device).eval().requires_grad_(False)


def find_auxiliary(
    role: str,
    name: str,
    revision: str | None,
    embedded: Path,
    model_types: Sequence[str],
    example: str,
) -> AuxiliaryModel:
    """Look an auxiliary model up by its configuration alone.

    Args:
        role: What it is used as.
        name: "glyph" for the embedded one, a local folder or a hub id.
        revision: Commit, tag or branch of a hub model.
        embedded: The embedded one's folder.
        model_types: Those that serve, as configurations name them.
        example: A hub id that serves.

    Raises:
        UserError: If it cannot be found or is of no type that serves.
    """
    path = str(embedded if name == EMBEDDED else Path(name).expanduser())
    local = Path(path).is_dir()
    try:
        config = AutoConfig.from_pretrained(path, revision=None if local else revision)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{role} {name!r} cannot be loaded: {reason}; give {EMBEDDED!r}, a folder, or a hub id "
            f"like {example!r}"
        ) from error
    if config.model_type not in model_types:
        raise UserError(
            f"{role} {name!r} is a {config.model_type} model; those that serve: "
            f"{', '.join(model_types)}, like {example!r}"
        )
    version = folder_hash(Path(path)) if local else revision
    return AuxiliaryModel(role, path, version, config)
