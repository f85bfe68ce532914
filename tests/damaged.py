"""Damaged and hostile checkpoints of a tiny Llama. A seed chooses the file and the damage."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import gguf
from text_zoo import byte_level
from tiny_llama import tiny_llama
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

Damage = Callable[[Random, Path, Path], None]  # (random, the folder to damage, the folder in which no file may be opened)

INDEX, GGUF = "model.safetensors.index.json", "tiny.gguf"
NUMBERS = (0, -1, 1, 2, 7, 255, 65_536, 10**6, 10**9, 10**12, 2**31, 2**32 - 1, 2**60, 2**63 - 1, 10**30, -(2**31), 1.5, 1e308)
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
CONFIG = (
    "transformers_weights", "configuration_files", "auto_map", "quantization_config", "attn_implementation", "fusion_config",
    "_attn_implementation", "experts_implementation", "_name_or_path", "name_or_path", "tokenizer_class", "per_layer_config",
    "is_encoder_decoder", "layer_types", "sliding_window", "text_config", "dtype", "torch_dtype", "architectures",
    "rope_scaling", "num_labels", "id2label", "base_model_tp_plan", "sub_configs", "attribute_map", "__class__", "to_dict",
)  # fmt: skip
TOKENIZER = (
    "vocab_file", "merges_file", "tokenizer_file", "vocab", "merges", "fast_tokenizer_files", "auto_map", "tokenizer_class",
    "chat_template", "extra_special_tokens", "added_tokens_decoder", "additional_special_tokens", "model_max_length",
    "add_prefix_space", "bos_token", "init_inputs", "sp_model_kwargs", "tokenizer_object", "gguf_file", "backend", "from_slow",
)  # fmt: skip
KEYS = ("context_length", "embedding_length", "block_count", "feed_forward_length", "attention.head_count", "vocab_size",
        "attention.head_count_kv", "rope.dimension_count", "attention.layer_norm_rms_epsilon", "rope.freq_base")  # fmt: skip


def write_gguf(file: Path, own: Any, quantised: bool = False) -> None:
    """Write a Llama of transformers and its byte-level tokenizer in the format of llama.cpp. quantised: matrices as Q8_0."""
    config, tokenizer = own.config, byte_level()
    out = gguf.GGUFWriter(file, "llama")
    out.add_context_length(config.max_position_embeddings)
    out.add_embedding_length(config.hidden_size)
    out.add_block_count(config.num_hidden_layers)
    out.add_feed_forward_length(config.intermediate_size)
    out.add_head_count(config.num_attention_heads)
    out.add_head_count_kv(config.num_key_value_heads)
    out.add_layer_norm_rms_eps(config.rms_norm_eps)
    out.add_rope_freq_base(10000.0)
    out.add_rope_dimension_count(config.head_dim)
    out.add_vocab_size(config.vocab_size)
    backend = json.loads(tokenizer.hf.backend_tokenizer.to_str())["model"]
    tokens = sorted(backend["vocab"], key=backend["vocab"].__getitem__)
    out.add_tokenizer_model("gpt2")
    out.add_token_list(tokens)
    out.add_token_types([3 if i < 2 else 1 for i in range(len(tokens))])
    out.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in backend["merges"]])
    out.add_bos_token_id(0)
    out.add_eos_token_id(1)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for key, weight in own.state_dict().items():
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(key.split(".")[-2])
        if heads:  # llama.cpp rotates neighbouring pairs
            weight = weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)
        name, numbers = names.get_name(key, try_suffixes=(".weight",)), weight.contiguous().numpy()
        packed = gguf.GGMLQuantizationType.Q8_0 if quantised and numbers.ndim == 2 and not numbers.shape[1] % 32 else None
        out.add_tensor(name, numbers if packed is None else gguf.quantize(numbers, packed), raw_dtype=packed)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


class Planted:
    """An object that opens a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.file), "w")


def sound(root: Path) -> None:
    """Write the undamaged model as one file, as several, and as .gguf; and `outside`, where no file may be opened."""
    tokenizer, model = byte_level(), tiny_llama(head_dim=8, rms_norm_eps=1e-5)
    for name, most in (("whole", "1GB"), ("shards", "40KB"), ("outside", "1GB")):
        model.save_pretrained(root / name, max_shard_size=most)
        tokenizer.hf.save_pretrained(root / name)
    outside = root / "outside"
    (outside / "pytorch_model.bin").write_bytes(pickle.dumps(Planted(outside / "ran")))
    (root / "gguf").mkdir()
    write_gguf(root / "gguf" / GGUF, model)
    (outside / GGUF).write_bytes((root / "gguf" / GGUF).read_bytes())


def damaged(kind: str, seed: int, root: Path, target: Path) -> Path:
    """Copy the model to `target` and damage it. Returns the path to load."""
    random = Random(f"{kind} {seed}")
    base, damages = KINDS[kind]
    shutil.copytree(root / base, target)
    random.choice(damages)(random, target, root / "outside")
    return target / GGUF if base == "gguf" else target


# Any file


def of_files(*patterns: str, head: int | None = None) -> tuple[Damage, ...]:
    """Damage of any file that matches a pattern. Only its first `head` bytes are changed."""

    def chosen(random: Random, folder: Path) -> Path:
        return random.choice(sorted(file for pattern in patterns for file in folder.glob(pattern)))

    def flipped(random: Random, folder: Path, outside: Path) -> None:
        file = chosen(random, folder)
        data = bytearray(file.read_bytes())
        for _ in range(random.randint(1, 8)):
            data[random.randrange(min(head or len(data), len(data)))] = random.randrange(256)
        file.write_bytes(data)

    def cut(random: Random, folder: Path, outside: Path) -> None:
        file = chosen(random, folder)
        file.write_bytes(file.read_bytes()[: random.randrange(file.stat().st_size)])

    def replaced(random: Random, folder: Path, outside: Path) -> None:
        """The file is deleted, or replaced by a pointer, noise, a folder, a pipe, a link to a device, or a link to itself."""
        file = chosen(random, folder)
        file.unlink()
        random.choice(
            (
                lambda: None,
                lambda: file.write_bytes(POINTER),
                lambda: file.write_bytes(b""),
                lambda: file.write_bytes(random.randbytes(500)),
                file.mkdir,
                lambda: os.mkfifo(file),
                lambda: file.symlink_to("/dev/zero"),
                lambda: file.symlink_to(file.name),
            )
        )()

    return flipped, cut, replaced


# JSON


def hostile(random: Random, outside: Path) -> Any:
    """A value that is wrong in any field."""
    deep: Any = []
    for _ in range(random.choice((3, 200, 900))):
        deep = [deep]
    paths = [f"{outside}/{name}" for name in ("model.safetensors", "pytorch_model.bin", "tokenizer.json", "config.json")]
    paths += ["../../outside/model.safetensors", "tokenizer.json", "..", "", "/dev/zero", "C:x.safetensors", "a\0b", "x" * 5000]
    others = (None, True, float("nan"), float("inf"), [], {}, [1] * 50, {"a": 1}, deep, "x", "10", "owner/name")
    return random.choice((random.choice(NUMBERS), random.choice(paths), random.choice(others)))


def fields(value: Any, depth: int = 10) -> list[tuple[Any, Any]]:
    """Every (container, key) in a value, down to a depth."""
    if not isinstance(value, (dict, list)) or not depth:
        return []
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    return [(value, key) for key in keys] + [field for key in keys for field in fields(value[key], depth - 1)]


def edited(random: Random, file: Path, outside: Path, keys: tuple[str, ...]) -> None:
    """Move, replace or remove values of a JSON file, or add one of `keys`."""
    value = json.loads(file.read_text())
    for _ in range(random.randint(1, 3)):
        container, key = random.choice(fields(value) or [({}, "x")])
        match random.randrange(4):
            case 0:
                container[key] = json.loads(json.dumps(random.choice([c[k] for c, k in fields(value)])))
            case 1:
                container[key] = hostile(random, outside)
            case 2:
                container.pop(key, None) if isinstance(container, dict) else container.pop(key)
            case _:
                value[random.choice(keys)] = hostile(random, outside)
    file.write_text(json.dumps(value))


def of_json(pattern: str, keys: tuple[str, ...]) -> Damage:
    def one(random: Random, folder: Path, outside: Path) -> None:
        edited(random, random.choice(sorted(folder.glob(pattern))), outside, keys)

    return one


def another_type(random: Random, folder: Path, outside: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = random.choice([*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES])
    (folder / "config.json").write_text(json.dumps(config))


def index_of_other_files(random: Random, folder: Path, outside: Path) -> None:
    shutil.copy(outside / "pytorch_model.bin", folder)
    index = json.loads((folder / INDEX).read_text())
    name = random.choice(
        ("pytorch_model.bin", f"{outside}/model.safetensors", "../../outside/model.safetensors", "config.json")
    )
    for key in random.sample([*index["weight_map"]], random.randint(1, 3)):
        index["weight_map"][key] = name
    (folder / INDEX).write_text(json.dumps(index))


def adapter(random: Random, folder: Path, outside: Path) -> None:
    """Add the config of an adapter, and remove a file."""
    text = random.choice(("{", "[]", json.dumps({"base_model_name_or_path": str(outside), "peft_type": "LORA"})))
    (folder / "adapter_config.json").write_text(text)
    (folder / random.choice(("config.json", INDEX, "tokenizer.json"))).unlink()


# Binary headers


def header_edited(random: Random, folder: Path, outside: Path) -> None:
    """Edit the header of a safetensors file, with a correct or a wrong length."""
    file, header = folder / "model.safetensors", folder / "header"
    data = file.read_bytes()
    end = 8 + struct.unpack("<Q", data[:8])[0]
    header.write_bytes(data[8:end])
    edited(random, header, outside, ("__metadata__", "x", "lm_head.weight"))
    content = header.read_bytes()
    header.unlink()
    length = random.choice((len(content), len(content), random.choice(NUMBERS)))
    file.write_bytes(struct.pack("<Q", int(length) % 2**64) + content + data[end:])


def gguf_numbers(random: Random, folder: Path, outside: Path) -> None:
    """Change the version, the counts, or any other number of the header."""
    data = bytearray((folder / GGUF).read_bytes())
    for _ in range(random.randint(1, 2)):
        anywhere = [(random.randrange(24, 3000), form) for form in ("<I", "<Q")]
        at, form = random.choice(((4, "<I"), (8, "<Q"), (16, "<Q"), *anywhere))
        struct.pack_into(form, data, at, int(random.choice(NUMBERS)) % 2 ** (8 * struct.calcsize(form)))
    (folder / GGUF).write_bytes(data)


def gguf_values(random: Random, folder: Path, outside: Path) -> None:
    """Change a value that describes the network."""
    data = bytearray((folder / GGUF).read_bytes())
    key = b"llama." + random.choice(KEYS).encode()
    struct.pack_into("<I", data, data.index(key) + len(key) + 4, int(random.choice(NUMBERS)) % 2**32)
    (folder / GGUF).write_bytes(data)


KINDS: dict[str, tuple[str, tuple[Damage, ...]]] = {
    "config.json": ("whole", (*of_files("config.json"), another_type, *[of_json("config.json", CONFIG)] * 5)),
    "index and shards": (
        "shards",
        (
            *of_files(INDEX),
            *of_files("*.safetensors"),
            of_json(INDEX, ("weight_map", "metadata")),
            index_of_other_files,
            adapter,
        ),
    ),
    "safetensors": ("whole", (*of_files("model.safetensors"), *of_files("model.safetensors", head=2000), *[header_edited] * 4)),
    "GGUF": ("gguf", (*of_files(GGUF), *of_files(GGUF, head=3000), gguf_numbers, gguf_values)),
    "tokenizer": ("whole", (*of_files("tokenizer*.json"), *[of_json("tokenizer*.json", TOKENIZER)] * 4)),
}
