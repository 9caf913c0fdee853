"""One attention layer of each form, written out token by token, as modified gradients.

Plain autograd in float64 over Python loops; it shares nothing with the package.  The rules are in
three words: ``half`` (a product of two signals: half the gradient to each), ``constant`` (detached)
and ``kept`` (an activation: its gradient is f(x) / x).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Maps = dict[str, Tensor]


def half(a: Tensor, b: Tensor) -> Tensor:
    """a * b with half the gradient to each."""
    return (a * b.detach() + a.detach() * b) / 2


def kept(f: Callable[[Tensor], Tensor], x: Tensor, offset: float = 0.0) -> Tensor:
    """f(x) with gradient (f(x) - f(0)) / x."""
    y = f(x).detach()
    slope = ((y - offset) / x).detach()
    return y + slope * (x - x.detach())


def dot(a: Tensor, b: Tensor) -> Tensor:
    """A scalar product of two signals."""
    return half(a, b).sum(-1)


def mixed(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cp: bool,
    score: Callable[[int, int, int, Tensor], Tensor],
    causal: bool = False,
    groups: int = 1,
) -> Tensor:
    """softmax(score(h, i, j, q_i k_j)) v for one sample, [tokens, heads * d] from [heads, t, d]."""
    rows = []
    for i in range(q.shape[1]):
        heads = []
        for h in range(q.shape[0]):
            g = h // groups
            keys = range(i + 1) if causal else range(k.shape[1])
            scores = torch.stack([score(h, i, j, dot(q[h, i], k[g, j])) for j in keys])
            weights = torch.softmax(scores, -1)
            out = torch.zeros_like(v[g, 0])
            for n, j in enumerate(keys):
                w = weights[n]
                out = out + (w.detach() * v[g, j] if cp else half(w.expand_as(v[g, j]), v[g, j]))
            heads.append(out)
        rows.append(torch.cat(heads))
    return torch.stack(rows)


def heads_of(x: Tensor, n: int) -> Tensor:
    """[tokens, n * d] -> [n, tokens, d]."""
    return x.unflatten(-1, (n, -1)).transpose(0, 1)


def plain(m: Any, x: Tensor, cp: bool) -> Tensor:
    """BERT: softmax(q k / sqrt d) v."""
    n, d = m.num_attention_heads, m.attention_head_size
    q, k, v = (heads_of(f(x), n) for f in (m.query, m.key, m.value))
    return mixed(q, k, v, cp, lambda h, i, j, s: s / math.sqrt(d))


def grouped(m: Any, x: Tensor, cp: bool, cos: Tensor, sin: Tensor) -> Tensor:
    """Llama: rotated queries and keys; two query heads read one key head; causal."""

    def rotated(t: Tensor) -> Tensor:
        a, b = t.chunk(2, -1)
        return t * cos + torch.cat([-b, a], -1) * sin

    d = m.head_dim
    q, k, v = (heads_of(f(x), f.out_features // d) for f in (m.q_proj, m.k_proj, m.v_proj))
    out = mixed(
        rotated(q),
        rotated(k),
        v,
        cp,
        lambda h, i, j, s: s / math.sqrt(d),
        causal=True,
        groups=m.num_key_value_groups,
    )
    return m.o_proj(out)


def alibi(m: Any, x: Tensor, cp: bool, bias: Tensor) -> Tensor:
    """MPT: a constant slope per head and distance added to the scores; causal."""
    q, k, v = (heads_of(t, m.n_heads) for t in m.Wqkv(x).chunk(3, -1))
    scale = m.softmax_scale
    out = mixed(q, k, v, cp, lambda h, i, j, s: s * scale + bias[h, 0, j], causal=True)
    return m.out_proj(out)


def relative(m: Any, x: Tensor, cp: bool) -> Tensor:
    """T5's encoder: a learned bias per head and distance, no scale."""
    q, k, v = (heads_of(f(x), m.n_heads) for f in (m.q, m.k, m.v))
    bias = m.compute_bias(len(x), len(x))[0].detach()
    return m.o(mixed(q, k, v, cp, lambda h, i, j, s: s + bias[h, i, j]))


def cross(m: Any, x: Tensor, cp: bool, source: Tensor) -> Tensor:
    """T5's decoder reading its encoder: queries of one sequence, keys and values of another."""
    q, k, v = heads_of(m.q(x), m.n_heads), heads_of(m.k(source), m.n_heads), m.v(source)
    return m.o(mixed(q, k, heads_of(v, m.n_heads), cp, lambda h, i, j, s: s))


def disentangled(m: Any, x: Tensor, cp: bool, positions: Tensor) -> Tensor:
    """DeBERTa-v2: content to content, content to position and position to content."""
    n = m.num_attention_heads
    q, k, v = (heads_of(f(x), n) for f in (m.query_proj, m.key_proj, m.value_proj))
    span = m.pos_ebd_size
    at_key = heads_of(m.pos_key_proj(positions[: 2 * span]), n).detach()
    at_query = heads_of(m.pos_query_proj(positions[: 2 * span]), n).detach()
    scale = math.sqrt(3 * q.shape[-1])

    def score(h: int, i: int, j: int, s: Tensor) -> Tensor:
        place = min(max(i - j + span, 0), 2 * span - 1)
        to_position = (q[h, i] * at_key[h, place]).sum()
        from_position = (k[h, j] * at_query[h, place]).sum()
        return (s + to_position + from_position) / scale

    return mixed(q, k, v, cp, score)


def linear(m: Any, x: Tensor, cp: bool) -> Tensor:
    """MiniMax' lightning attention within a block: (q k * decay) v, a norm, a sigmoid gate."""
    n, d = m.num_attention_heads, m.head_dim
    qkv = kept(torch.nn.functional.silu, m.qkv_proj(x)).unflatten(-1, (n, 3 * d))
    q, k, v = (t.transpose(0, 1) for t in qkv.split(d, -1))
    decay = m.diagonal_decay[0]
    rows = []
    for i in range(len(x)):
        heads = []
        for h in range(n):
            out = torch.zeros_like(v[h, 0])
            for j in range(i + 1):
                weight = dot(q[h, i], k[h, j]) * decay[h, i, j]
                out = out + half(weight.expand(d), v[h, j])
            heads.append(out)
        rows.append(torch.cat(heads))
    out = torch.stack(rows)
    scale = torch.rsqrt(out.pow(2).mean(-1, keepdim=True) + m.norm.variance_epsilon).detach()
    gate = torch.sigmoid(m.output_gate(x)).detach()
    return m.out_proj(gate * (out * scale * m.norm.weight))


def state_space(m: Any, x: Tensor, cp: bool, hold: bool = False) -> Tensor:
    """Mamba: s_t = exp(dt A) s_(t-1) + dt B_t u_t, y_t = C_t s_t + D u_t, gated by silu(z).

    Decay and step are constant factors; B, C and u are signals, two by two half and half, or B
    and C are constant too (``hold``, MambaLRP).
    """
    silu = torch.nn.functional.silu
    both = m.in_proj(x)
    u, z = both.chunk(2, -1)
    kernel, size = m.conv1d.weight.squeeze(1), m.conv1d.weight.shape[-1]
    padded = torch.cat([u.new_zeros(size - 1, u.shape[1]), u])
    u = torch.stack([(padded[t : t + size] * kernel.T).sum(0) for t in range(len(x))])
    u = kept(silu, u + m.conv1d.bias)
    chosen = m.x_proj(u).detach() if hold else m.x_proj(u)
    step, b, c = chosen.split([m.time_step_rank, m.ssm_state_size, m.ssm_state_size], -1)
    step = torch.nn.functional.softplus(m.dt_proj(step)).detach()
    decay_rate = -torch.exp(m.A_log)
    state = x.new_zeros(u.shape[1], m.ssm_state_size)
    rows = []
    for t in range(len(x)):
        decay = torch.exp(step[t][:, None] * decay_rate)
        moved, taken = step[t][:, None] * b[t][None], u[t][:, None].expand_as(decay)
        entering = moved * taken if hold else half(moved, taken)
        state = decay * state + entering
        left = state @ c[t] if hold else dot(state, c[t][None].expand_as(state))
        rows.append(left + u[t] * m.D)
    out, gate = torch.stack(rows), kept(silu, z)
    out = out * gate.detach() if cp else half(out, gate)
    return m.out_proj(out)
