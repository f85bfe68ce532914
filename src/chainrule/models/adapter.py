"""LoRA adapters, as peft saves them, merged into the weights of their base model: W + s · B A, in float32.

Only plain LoRA is merged. Any setting or tensor that would make the model another one is refused by name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from chainrule.errors import ModelError
from chainrule.models.checkpoint import Checkpoint, json_object, open_tensors
from chainrule.models.damage import check_file, refusing
from chainrule.models.safetensors_header import fault

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"
_READ = {"r", "lora_alpha", "use_rslora", "fan_in_fan_out"}
_WITHOUT_EFFECT = {  # on a model that is not trained further, given the tensors
    "auto_mapping", "base_model_name_or_path", "revision", "inference_mode", "target_modules", "exclude_modules",
    "lora_dropout", "layers_to_transform", "layers_pattern", "peft_version", "ensure_weight_tying", "qalora_group_size",
    "runtime_config", "megatron_core",
}  # fmt: skip
_PLAIN = {  # the values of plain LoRA; those that are false are, for every other setting
    "peft_type": ("LORA",),
    "task_type": ("CAUSAL_LM",),
    "bias": ("none",),
    "init_lora_weights": (True, "gaussian"),  # others change the weights of the base model too
}


@dataclass(frozen=True)
class Adapter:
    """A folder with an adapter. A tensor is read when it is used."""

    folder: Path
    config: dict[str, Any]
    tensors: dict[str, Any]

    @property
    def weights(self) -> Path:
        """The file of its tensors."""
        return self.folder / WEIGHTS


def read_adapter(folder: str | Path) -> Adapter:
    """Check the folder of an adapter and open its tensors. Raises ModelError, with a remedy."""
    path = Path(folder).expanduser()
    if not (path / CONFIG).is_file():
        raise ModelError(f"adapter={str(folder)!r} is not a folder with an {CONFIG}: download it, and give its folder")
    with refusing(str(folder)):
        config = json_object(path / CONFIG)
        for name, value in config.items():
            _check_setting(name, value)
        if not (path / WEIGHTS).is_file():
            raise ValueError(f"it has no {WEIGHTS}; save it with save_pretrained, which writes safetensors")
        check_file(path / WEIGHTS)
        if reason := fault(path / WEIGHTS):
            raise ValueError(f"{WEIGHTS} is damaged or truncated ({reason}); download it again")
        tensors = open_tensors([path / WEIGHTS])
        for name in tensors:
            if not (name.startswith(_PREFIX) and name.endswith((_A, _B))):
                raise ValueError(f"it has the tensor {name!r:.100}, which is not one of plain LoRA; {_MERGE}")
        if not tensors:
            raise ValueError(f"{WEIGHTS} has no tensors; download it again")
        return Adapter(path, config, tensors)


_MERGE = "merge it in peft: merge_and_unload(), then save_pretrained(), and load the result without adapter="


def _check_setting(name: str, value: Any) -> None:
    """Raises ValueError for a setting that is not one of plain LoRA."""
    if name in _READ or name in _WITHOUT_EFFECT or not value or value in _PLAIN.get(name, ()):
        return
    raise ValueError(f"its {CONFIG} sets {name} to {value!r:.60}, which is not plain LoRA; {_MERGE}")


def merged(checkpoint: Checkpoint, adapter: Adapter) -> Checkpoint:
    """The checkpoint with the adapter in its weights. Raises ModelError if it is one of another model."""
    with refusing(str(adapter.folder)):
        if "quantization_config" in checkpoint.config:
            raise ValueError(f"the weights of {checkpoint.label} are quantised; dequantise and {_MERGE}")
        tensors = dict(checkpoint.tensors)
        for name in adapter.tensors:
            if name.endswith(_B) and name.removesuffix(_B) + _A not in adapter.tensors:
                raise ValueError(f"it has {name!r:.100} without its counterpart {_A[1:]}; download it again")
            if name.endswith(_A):
                module = name.removesuffix(_A)
                target = _target(module.removeprefix(_PREFIX) + ".weight", checkpoint)
                tensors[target] = _sum(tensors[target][...], adapter, module, target)
        return replace(checkpoint, tensors=tensors)


def _target(name: str, checkpoint: Checkpoint) -> str:
    """The name in the checkpoint of a weight of the whole network. A checkpoint of the trunk alone has no prefix."""
    found = [name] if name in checkpoint.tensors else [own for own in checkpoint.tensors if name.endswith(f".{own}")]
    if len(found) != 1:
        raise ValueError(
            f"it changes {name!r:.100}, but {checkpoint.label} has no such weight: it is an adapter of another model"
        )
    tied = checkpoint.config.get("tie_word_embeddings")
    if tied and name.endswith(("lm_head.weight", "embed_out.weight")):
        raise ValueError(f"it changes {name!r}, which {checkpoint.label} shares with its embeddings; {_MERGE}")
    return found[0]


def _sum(weight: Tensor, adapter: Adapter, module: str, target: str) -> Tensor:
    if module + _B not in adapter.tensors:
        raise ValueError(f"it has {module + _A!r:.100} without its counterpart {_B[1:]}; download it again")
    a_RI, b_OR = adapter.tensors[module + _A][...].float(), adapter.tensors[module + _B][...].float()
    shapes = f"{tuple(b_OR.shape)} · {tuple(a_RI.shape)}"
    if a_RI.dim() != 2 or b_OR.dim() != 2 or b_OR.shape[1] != a_RI.shape[0]:
        raise ValueError(f"it changes {target!r:.100} by a product of shapes {shapes}, which is not plain LoRA; {_MERGE}")
    change = b_OR @ a_RI
    if adapter.config.get("fan_in_fan_out"):
        change = change.T
    if change.shape != weight.shape:
        raise ValueError(
            f"it changes {target!r:.100} of shape {tuple(weight.shape)} by {shapes}: it is an adapter of another model"
        )
    return weight.float() + _scale(adapter.config, rank=len(a_RI)) * change


def _scale(config: dict[str, Any], rank: int) -> float:
    """α / r, or α / √r. Raises ValueError if the config has another rank than the tensors."""
    r, alpha = config.get("r"), config.get("lora_alpha")
    if r != rank or not isinstance(alpha, int | float) or isinstance(alpha, bool) or not math.isfinite(alpha):
        raise ValueError(
            f"its {CONFIG} says r={r!r:.20} and lora_alpha={alpha!r:.20}, but its tensors have rank {rank}; download it again"
        )
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
