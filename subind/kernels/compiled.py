"""Fused loops over float32 arrays, compiled to machine code by Numba: what PyTorch does in many passes on a CPU.

Each runs on one core and frees the interpreter meanwhile. Arrays are C-contiguous unless said otherwise; results are
written into arrays that the caller gives. Numbers that are not finite stay so. Axes: R replicas, T tokens, D width,
B rows (batch), L positions, H heads, V answers.
"""

from collections.abc import Callable
from math import pi, sqrt
from typing import Any

import numba
import numpy as np

_F = np.float32
_I = np.int32


def _compiled(*flags: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile with products and sums contracted, and with what else the flags allow; once per machine, kept on disk.

    Where neither this folder nor the user's cache can be written to, once per process.
    """

    def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
        options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", *flags}}
        try:
            found: Callable[..., Any] = numba.njit(cache=True, **options)(function)
        except RuntimeError:  # Numba finds no place to keep it
            found = numba.njit(**options)(function)
        return found

    return compiled


_elementwise = _compiled()
_with_sums = _compiled("reassoc", "nsz")

ZERO, HALF, ONE = _F(0), _F(0.5), _F(1)
EPSILON = _F(1e-5)

LINEAR = _F(2 * sqrt(2 / pi))
CUBIC = _F(2 * sqrt(2 / pi) * 0.044715)
THREE_CUBIC = _F(6 * sqrt(2 / pi) * 0.044715)
"""gelu_new(x) = x·σ(LINEAR·x + CUBIC·x³)."""

LOWEST, HIGHEST = _F(-87), _F(88)
LOG2_E = _F(1.44269504088896341)
LN2_HIGH, LN2_LOW = _F(0.693359375), _F(-2.12194440e-4)
EXP_5, EXP_4, EXP_3 = _F(1.9875691500e-4), _F(1.3981999507e-3), _F(8.3334519073e-3)
EXP_2, EXP_1, EXP_0 = _F(4.1665795894e-2), _F(1.6666665459e-1), _F(5.0000001201e-1)
"""The polynomial of eˣ on ±ln2/2 in the Cephes library, to 2 units in the last place."""
EXPONENT_BIAS, MANTISSA_BITS = _I(127), _I(23)


@_elementwise
def _exp(x):  # type: ignore[no-untyped-def]
    """Eˣ, at least e⁻⁸⁷ and at most e⁸⁸, in operations that vectorise."""
    z = min(max(x, LOWEST), HIGHEST)
    n = np.floor(z * LOG2_E + HALF)
    z -= n * LN2_HIGH
    z -= n * LN2_LOW
    y = ((((EXP_5 * z + EXP_4) * z + EXP_3) * z + EXP_2) * z + EXP_1) * z + EXP_0
    power = _I((_I(n) + EXPONENT_BIAS) << MANTISSA_BITS)
    return (y * z * z + z + ONE) * power.view(_F)


@_elementwise
def gelu_forward(x, out) -> None:  # type: ignore[no-untyped-def]
    """GELU in GPT-2's approximation, over flat arrays."""
    for i in range(x.size):
        v = x[i]
        out[i] = v / (ONE + _exp(-v * (LINEAR + CUBIC * v * v)))


@_elementwise
def gelu_backward(x, gradient, out) -> None:  # type: ignore[no-untyped-def]
    """The gradient for x, over flat arrays."""
    for i in range(x.size):
        v = x[i]
        gate = ONE / (ONE + _exp(-v * (LINEAR + CUBIC * v * v)))
        out[i] = gradient[i] * gate * (ONE + v * (ONE - gate) * (LINEAR + THREE_CUBIC * v * v))


@_with_sums
def norm_forward(x, weight, bias, out, mean, scale) -> None:  # type: ignore[no-untyped-def]
    """LayerNorm of x (R, T, D) with weight and bias (R, D); keeps the mean and 1/σ of each token (R, T)."""
    replicas, tokens, width = x.shape
    share = ONE / _F(width)
    for r in range(replicas):
        for t in range(tokens):
            total, square = ZERO, ZERO
            for d in range(width):
                total += x[r, t, d]
            middle = total * share
            for d in range(width):
                square += (x[r, t, d] - middle) * (x[r, t, d] - middle)
            factor = ONE / np.sqrt(square * share + EPSILON)
            mean[r, t], scale[r, t] = middle, factor
            for d in range(width):
                out[r, t, d] = (x[r, t, d] - middle) * factor * weight[r, d] + bias[r, d]


@_with_sums
def norm_backward(gradient, x, weight, mean, scale, of_x, of_weight, of_bias) -> None:  # type: ignore[no-untyped-def]
    """The gradients of `norm_forward` for x, weight and bias."""
    replicas, tokens, width = x.shape
    share = ONE / _F(width)
    of_weight[:], of_bias[:] = ZERO, ZERO
    for r in range(replicas):
        for t in range(tokens):
            middle, factor, along_one, along_x = mean[r, t], scale[r, t], ZERO, ZERO
            for d in range(width):
                normed, own = (x[r, t, d] - middle) * factor, gradient[r, t, d]
                of_bias[r, d] += own
                of_weight[r, d] += own * normed
                along_one += own * weight[r, d]
                along_x += own * weight[r, d] * normed
            along_one, along_x = along_one * share, along_x * share
            for d in range(width):
                normed = (x[r, t, d] - middle) * factor
                of_x[r, t, d] = factor * (gradient[r, t, d] * weight[r, d] - along_one - normed * along_x)


@_with_sums
def attention_forward(joined, factors, softmax, out) -> None:  # type: ignore[no-untyped-def]
    """Causal attention: joined (R, B, L, 3, H, D) holds q, k and v; writes out (R, B, L, H, D).

    Factors (R, B, H, L, L), in any layout, multiply the softmax, which is kept without them; None for no dropout.
    """
    replicas, batch, length, _, heads, width = joined.shape
    root = ONE / np.sqrt(_F(width))
    for r in range(replicas):
        for b in range(batch):
            for h in range(heads):
                for i in range(length):
                    top = _F(-np.inf)
                    for k in range(i + 1):
                        score = ZERO
                        for d in range(width):
                            score += joined[r, b, i, 0, h, d] * joined[r, b, k, 1, h, d]
                        score *= root
                        softmax[r, b, h, i, k] = score
                        top = max(top, score)
                    total = ZERO
                    for k in range(i + 1):
                        score = softmax[r, b, h, i, k]
                        softmax[r, b, h, i, k] = _exp(score - top) + ZERO * score  # not finite stays not finite
                        total += softmax[r, b, h, i, k]
                    for d in range(width):
                        out[r, b, i, h, d] = ZERO
                    for k in range(i + 1):
                        weight = softmax[r, b, h, i, k] / total
                        softmax[r, b, h, i, k] = weight
                        if factors is not None:
                            weight *= factors[r, b, h, i, k]
                        for d in range(width):
                            out[r, b, i, h, d] += weight * joined[r, b, k, 2, h, d]


@_with_sums
def attention_backward(gradient, joined, factors, softmax, of_joined) -> None:  # type: ignore[no-untyped-def]
    """The gradient of `attention_forward` for `joined`, from that (R, B, L, H, D) of its result."""
    replicas, batch, length, _, heads, width = joined.shape
    root = ONE / np.sqrt(_F(width))
    of_weights = np.empty(length, _F)
    of_joined[:] = ZERO
    for r in range(replicas):
        for b in range(batch):
            for h in range(heads):
                for i in range(length):
                    mean = ZERO
                    for k in range(i + 1):
                        of_weight, weight = ZERO, softmax[r, b, h, i, k]
                        for d in range(width):
                            of_weight += gradient[r, b, i, h, d] * joined[r, b, k, 2, h, d]
                        if factors is not None:
                            of_weight *= factors[r, b, h, i, k]
                        mean += of_weight * weight
                        of_weights[k] = of_weight
                        if factors is not None:
                            weight *= factors[r, b, h, i, k]
                        for d in range(width):
                            of_joined[r, b, k, 2, h, d] += weight * gradient[r, b, i, h, d]
                    for k in range(i + 1):
                        of_score = softmax[r, b, h, i, k] * (of_weights[k] - mean) * root
                        for d in range(width):
                            of_joined[r, b, i, 0, h, d] += of_score * joined[r, b, k, 1, h, d]
                            of_joined[r, b, k, 1, h, d] += of_score * joined[r, b, i, 0, h, d]


@_with_sums
def cross_entropy_forward(scores, answers, losses, totals) -> None:  # type: ignore[no-untyped-def]
    """-log softmax(scores)[answer] of every row; puts exp(score - highest) in the place of the scores (rows, V)."""
    rows, size = scores.shape
    for row in range(rows):
        top, check, total = scores[row, 0], ZERO, ZERO
        for v in range(size):
            top = max(top, scores[row, v])
            check += ZERO * scores[row, v]  # not finite stays not finite
        right = scores[row, answers[row]] - top
        for v in range(size):
            scores[row, v] = _exp(scores[row, v] - top)
            total += scores[row, v]
        totals[row] = total
        losses[row] = np.log(total) - right + check


@_elementwise
def cross_entropy_backward(gradients, answers, totals, scores) -> None:  # type: ignore[no-untyped-def]
    """Puts the gradients for the scores in the place of what `cross_entropy_forward` left of them."""
    rows, size = scores.shape
    for row in range(rows):
        factor = gradients[row] / totals[row]
        for v in range(size):
            scores[row, v] *= factor
        scores[row, answers[row]] -= gradients[row]


PART = 4096
"""Elements that are summed in float32; the sums of parts are added in float64, in their order."""


@_with_sums
def _part_sum(x):  # type: ignore[no-untyped-def]
    total = ZERO
    for i in range(x.size):
        total += x[i]
    return total


@_elementwise
def row_sums(x, sums) -> None:  # type: ignore[no-untyped-def]
    """The sum of every row of x (R, W), each in the same order whatever R is; sums are float64."""
    for r in range(x.shape[0]):
        total = 0.0
        for start in range(0, x.shape[1], PART):
            total += np.float64(_part_sum(x[r, start : start + PART]))
        sums[r] = total


@_elementwise
def _masked_part(weights, logits, temperature, soft, out) -> None:  # type: ignore[no-untyped-def]
    for i in range(weights.size):
        x = logits[i] * temperature
        share = (ZERO if -x > HIGHEST else ONE / (ONE + _exp(-x))) + ZERO * x  # not finite stays not finite
        soft[i] = share
        out[i] = weights[i] * share


@_elementwise
def masked_forward(weights, logits, temperature, soft, out, sums) -> None:  # type: ignore[no-untyped-def]
    """Weights times σ(τ·logits), all (R, W), with the temperature τ of each replica; keeps the σ.

    Writes the sums of the σ (R), as `row_sums`, unless the array for them is empty.
    """
    for r in range(weights.shape[0]):
        total = 0.0
        for start in range(0, weights.shape[1], PART):
            end = start + PART
            part = soft[r, start:end]
            _masked_part(weights[r, start:end], logits[r, start:end], temperature[r], part, out[r, start:end])
            if sums.size:
                total += np.float64(_part_sum(part))
        if sums.size:
            sums[r] = total


@_elementwise
def masked_backward(gradient, weights, soft, temperature, of_sums, out) -> None:  # type: ignore[no-untyped-def]
    """The gradient for the logits, from that of `masked_forward` and those (R) of the sums of the σ; all (R, W)."""
    for r in range(weights.shape[0]):
        for i in range(weights.shape[1]):
            slope = soft[r, i] * (ONE - soft[r, i]) * temperature[r]
            out[r, i] = (gradient[r, i] * weights[r, i] + of_sums[r]) * slope


@_elementwise
def sampled_forward(weights, logits, uniform, soft, out) -> None:  # type: ignore[no-untyped-def]
    """Weights where σ(l + log(u/(1 - u))) > ½, zero elsewhere, of logits l and uniform u, all (R, W); keeps the σ.

    σ(l + log(u/(1 - u))) = u/(u + (1 - u)·e⁻ˡ).
    """
    for r in range(weights.shape[0]):
        for i in range(weights.shape[1]):
            u = uniform[r, i]
            share = u / (u + (ONE - u) * _exp(-logits[r, i])) + ZERO * logits[r, i]  # not finite stays not finite
            soft[r, i] = share
            out[r, i] = weights[r, i] if share > HALF else ZERO * share


@_elementwise
def put_zero(kept, out) -> None:  # type: ignore[no-untyped-def]
    """Zero where `kept`, over flat arrays."""
    for i in range(out.size):
        out[i] = ZERO if kept[i] else out[i]


@_elementwise
def put(kept, source, out) -> None:  # type: ignore[no-untyped-def]
    """The source where `kept`, over flat arrays."""
    for i in range(out.size):
        out[i] = source[i] if kept[i] else out[i]


WORD, HALF_WORD = np.uint64(0xFFFFFFFF), np.uint64(32)
FACTOR_0, FACTOR_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
STEP_0, STEP_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
ROUNDS, BLOCKS, WORDS = 10, 16, 64
LOW_BITS, UNIT = np.uint32(8), _F(2.0**-24)
"""Philox4x32-10 (Salmon et al. 2011), 16 blocks of four words at a time. A number keeps 24 bits of a word."""


@_elementwise
def philox_words(key, step, call, first, out) -> None:  # type: ignore[no-untyped-def]
    """Fill `out` (WORDS of uint32) with the blocks from `first` on; all four arguments are uint64.

    The counter of a block is (block, call, lower half of the step, upper half of the step). A word lies in the lower
    half of 64 bits and the upper half is ignored: so products of two words vectorise.
    """
    for block in range(BLOCKS):
        a, b, c, d = first + np.uint64(block), call, step, step >> HALF_WORD
        key_0, key_1 = key, key >> HALF_WORD
        for _ in range(ROUNDS):
            x, y = (a & WORD) * FACTOR_0, (c & WORD) * FACTOR_1
            a, b, c, d = (y >> HALF_WORD) ^ b ^ key_0, y, (x >> HALF_WORD) ^ d ^ key_1, x
            key_0 += STEP_0
            key_1 += STEP_1
        out[4 * block], out[4 * block + 1] = np.uint32(a), np.uint32(b)
        out[4 * block + 2], out[4 * block + 3] = np.uint32(c), np.uint32(d)


@_elementwise
def philox_uniform(keys, step, call, out) -> None:  # type: ignore[no-untyped-def]
    """Fill row r of `out` (R, N) with numbers in [0, 1), the upper 24 bits of the words of key r, by one call."""
    words = np.empty(WORDS, np.uint32)
    for r in range(out.shape[0]):
        for start in range(0, out.shape[1], WORDS):
            philox_words(keys[r], step, call, np.uint64(start // 4), words)
            part = out[r, start : start + WORDS]
            for i in range(part.size):
                part[i] = _F(np.int32(words[i] >> LOW_BITS)) * UNIT


@_elementwise
def philox_dropout(keys, step, call, limit, scale, out) -> None:  # type: ignore[no-untyped-def]
    """Fill `out` like `philox_uniform`: `scale` where a number is at least limit·2⁻²⁴ (uint32), and zero elsewhere."""
    words = np.empty(WORDS, np.uint32)
    for r in range(out.shape[0]):
        for start in range(0, out.shape[1], WORDS):
            philox_words(keys[r], step, call, np.uint64(start // 4), words)
            part = out[r, start : start + WORDS]
            for i in range(part.size):
                part[i] = scale if np.uint32(words[i] >> LOW_BITS) >= limit else ZERO


@_elementwise
def crop(source, start, width, top, left, is_flipped, out):  # type: ignore[no-untyped-def]
    """Copy a square of an image that begins at byte `start` and has rows of `width` pixels, mirrored if so told.

    Images and `out`, which is [row column channel], are uint8 of three channels.
    """
    size = out.shape[0]
    for row in range(size):
        at = start + ((top + row) * width + left) * 3
        for column in range(size):
            to = size - 1 - column if is_flipped else column
            for channel in range(3):
                out[row, to, channel] = source[at + 3 * column + channel]
