"""The Llama model of `mlx-tiny` as a differentiable JAX function; weights are named as in a model folder.

It computes the same as mlx-lm for this config: tied embeddings, RMS norms, rotary positions, SwiGLU, causal attention.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

Weights = dict[str, jax.Array]

VOCABULARY = 384
HIDDEN, LAYERS, HEADS, INNER = 64, 3, 4, 128
HEAD = HIDDEN // HEADS
EPSILON, THETA = 1e-5, 10000.0
CONTEXT = 2048


def config(vocabulary: int, end: int) -> dict[str, object]:
    """Returns the content of the model folder's config.json."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": EPSILON,
        "rope_theta": THETA,
        "tie_word_embeddings": True,
        "eos_token_id": end,
    }


def fresh(seed: int, vocabulary: int) -> Weights:
    """Returns random initial weights."""
    shapes = {"model.embed_tokens.weight": (vocabulary, HIDDEN), "model.norm.weight": (HIDDEN,)}
    for at in range(LAYERS):
        layer = f"model.layers.{at}"
        shapes |= {f"{layer}.self_attn.{name}_proj.weight": (HIDDEN, HIDDEN) for name in "qkvo"}
        shapes |= {f"{layer}.mlp.{name}_proj.weight": (INNER, HIDDEN) for name in ("gate", "up")}
        shapes[f"{layer}.mlp.down_proj.weight"] = (HIDDEN, INNER)
        shapes |= {f"{layer}.{name}_layernorm.weight": (HIDDEN,) for name in ("input", "post_attention")}
    keys = jax.random.split(jax.random.key(seed), len(shapes))
    return {
        name: jnp.ones(shape) if len(shape) == 1 else jax.random.normal(key, shape) * shape[-1] ** -0.5
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }


def logits(weights: Weights, tokens: jax.Array) -> jax.Array:
    """Maps token ids of shape (rows, positions) to logits of shape (rows, positions, vocabulary)."""
    states = weights["model.embed_tokens.weight"][tokens]
    for at in range(LAYERS):
        layer = f"model.layers.{at}"
        states += _attention(weights, f"{layer}.self_attn", _norm(states, weights[f"{layer}.input_layernorm.weight"]))
        states += _swiglu(weights, f"{layer}.mlp", _norm(states, weights[f"{layer}.post_attention_layernorm.weight"]))
    return _norm(states, weights["model.norm.weight"]) @ weights["model.embed_tokens.weight"].T


def _norm(states: jax.Array, weight: jax.Array) -> jax.Array:
    return states * jax.lax.rsqrt(jnp.mean(states * states, -1, keepdims=True) + EPSILON) * weight


def _attention(weights: Weights, path: str, states: jax.Array) -> jax.Array:
    rows, places, _ = states.shape
    query, key, value = (
        (states @ weights[f"{path}.{name}_proj.weight"].T).reshape(rows, places, HEADS, HEAD) for name in "qkv"
    )
    scores = jnp.einsum("rphd,rqhd->rhpq", _rotated(query), _rotated(key)) * HEAD**-0.5
    past = jnp.tril(jnp.ones((places, places), bool))
    shares = jax.nn.softmax(jnp.where(past, scores, -1e9), -1)
    mixed = jnp.einsum("rhpq,rqhd->rphd", shares, value).reshape(rows, places, HIDDEN)
    return mixed @ weights[f"{path}.o_proj.weight"].T


def _rotated(states: jax.Array) -> jax.Array:
    """Applies rotary positions; the pairs are the two halves of a head: https://arxiv.org/abs/2104.09864"""
    speeds = THETA ** (-jnp.arange(0, HEAD, 2) / HEAD)
    angles = jnp.arange(states.shape[1])[:, None, None] * speeds
    one, two = states[..., : HEAD // 2], states[..., HEAD // 2 :]
    sine, cosine = jnp.sin(angles), jnp.cos(angles)
    return jnp.concatenate([one * cosine - two * sine, one * sine + two * cosine], -1)


def _swiglu(weights: Weights, path: str, states: jax.Array) -> jax.Array:
    gate, up, down = (weights[f"{path}.{name}_proj.weight"] for name in ("gate", "up", "down"))
    return (jax.nn.silu(states @ gate.T) * (states @ up.T)) @ down.T
