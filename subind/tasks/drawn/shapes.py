"""Drawn images: one of 16 shapes filled with one of 16 textures, on a background, partly behind an occluder.

An image depends only on its task and its index. Position, size and rotation of the shape, period, phase and rotation of
the texture, all colours, the background and the occluder are drawn independently of the label. Segments are exact:
there is no smoothing at edges. Every texture is centred: its mean over the visible object is the object's colour, so a
mean-pooled image is the same whatever the texture.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import pi

import numpy as np
import numpy.typing as npt

from subind.specs.images import ShapesTask
from subind.tasks.drawn.outlines import SHAPES
from subind.tasks.drawn.textures import TEXTURES, Field, Keys, ease
from subind.tasks.photographs.hashing import uniform

NUM_CLASSES = 16
BACKGROUND, OBJECT, OCCLUDER = 0, 1, 2
"""What a pixel's segment number means."""

_CHUNK = 32
"""Images drawn at once: their pixels stay in the cache."""

_OUTLINES, _TEXTURES = tuple(SHAPES.values()), tuple(TEXTURES.values())
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Images [image row column channel] with the segment number of each pixel [image row column] and their classes."""

    images: npt.NDArray[np.uint8]
    segments: npt.NDArray[np.uint8]
    labels: Indices
    shapes: Indices
    textures: Indices


def drawn(task: ShapesTask, indices: Indices) -> Drawn:
    """The images of the given indices, classes and cues as the task's predictivities have them."""
    keys = _keys(task, indices)
    labels = _class(_draw(keys, "label"))
    shapes = _cue(labels, keys, "shape", task.shape_predictivity)
    textures = _cue(labels, keys, "texture", task.texture_predictivity)
    return _with_pictures(task, keys, labels=labels, shapes=shapes, textures=textures)


def cue_conflict(task: ShapesTask, indices: Indices) -> Drawn:
    """Images of the 240 pairs of a shape and the texture of another class, in turn; the label is the shape's."""
    pairs = np.mod(indices, NUM_CLASSES * (NUM_CLASSES - 1))
    shapes = pairs // (NUM_CLASSES - 1)
    textures = np.mod(shapes + 1 + pairs % (NUM_CLASSES - 1), NUM_CLASSES)
    return _with_pictures(task, _keys(task, indices), labels=shapes, shapes=shapes, textures=textures)


def mean_pooled(images: npt.NDArray[np.uint8], segments: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Each segment in its mean colour, rounded, halves up: what `mean_pool` does, for many images of exact segments."""
    pooled = np.empty_like(images)
    for number in (BACKGROUND, OBJECT, OCCLUDER):
        inside = segments == number
        counts = inside.sum((1, 2), dtype=np.int64)
        for channel in range(3):
            total = np.einsum("irc,irc->i", images[..., channel], inside, dtype=np.int64)
            colour = (2 * total + counts) // (2 * np.maximum(counts, 1))
            np.copyto(pooled[..., channel], colour.astype(np.uint8)[:, None, None], where=inside)
    return pooled


def _keys(task: ShapesTask, indices: Indices) -> Keys:
    """One number an image, in which the data's seed and the index are whole."""
    return (np.uint64(task.data_seed) << np.uint64(32)) | indices.astype(np.uint64)


_PURPOSES = (
    "label", "shape", "other_shape", "texture", "other_texture", "row", "column", "radius", "angle", "period",
    "texture_angle", "phase_x", "phase_y", "red", "green", "blue", "shape_tone", "texture_tone", "shape_hue",
    "texture_hue", "cloud_scale", "cloud_contrast", "ramp_angle", "ramp_contrast", "occluder", "occluder_angle",
    "occluder_place", "occluder_tone",
)  # fmt: skip
_PLACE = {purpose: place for place, purpose in enumerate(_PURPOSES)}


def _draw(keys: Keys, purpose: str, low: float = 0.0, high: float = 1.0) -> Field:
    """A number an image, uniform on [low, high), for one purpose."""
    return np.float32(low) + np.float32(high - low) * uniform(keys, _PLACE[purpose])


def _class(part: Field) -> Indices:
    return np.floor(part * NUM_CLASSES).astype(np.int64)


def _cue(labels: Indices, keys: Keys, name: str, predictivity: float) -> Indices:
    """The label's own class with the given probability, else one of the others."""
    other = np.mod(
        labels + 1 + np.floor(_draw(keys, f"other_{name}") * (NUM_CLASSES - 1)).astype(np.int64), NUM_CLASSES
    )
    return np.where(_draw(keys, name) < predictivity, labels, other)


def _with_pictures(task: ShapesTask, keys: Keys, *, labels: Indices, shapes: Indices, textures: Indices) -> Drawn:
    size = task.image_size
    images = np.empty((len(keys), size, size, 3), np.uint8)
    segments = np.empty((len(keys), size, size), np.uint8)
    for part in _chunks(len(keys)):
        images[part], segments[part] = _painted(task, keys[part], shapes[part], textures[part])
    return Drawn(images=images, segments=segments, labels=labels, shapes=shapes, textures=textures)


def _chunks(count: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK) for start in range(0, count, _CHUNK))


def _painted(
    task: ShapesTask, keys: Keys, shapes: Indices, textures: Indices
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The images and their segments."""
    frame = _Frame.of(keys, task.image_size)
    inside, occluded = frame.inside(shapes), _occluded(keys, frame)
    segments = np.where(occluded, np.uint8(OCCLUDER), np.where(inside, np.uint8(OBJECT), np.uint8(BACKGROUND)))
    images = np.empty((*segments.shape, 3), np.uint8)
    colours, white = _colours(task, keys), np.float32(255)
    deviation = _deviation(frame.texture(textures, keys), segments == OBJECT)
    unevenness = white * _unevenness(keys, task.image_size)
    for channel in range(3):
        of_object, behind, shade, of_bar = (white * each[:, channel, None, None] for each in colours)
        found = np.where(inside, _textured(of_object, shade, deviation), behind + unevenness)
        np.copyto(found, of_bar, where=occluded)
        images[..., channel] = np.rint(np.clip(found, 0, white, out=found), out=found)
    return images, segments


def _deviation(brightness: Field, visible: npt.NDArray[np.bool_]) -> Field:
    """The brightness less its mean over the visible pixels, and 0 elsewhere.

    Sums in float64 of brightnesses in float32 are exact here, so the mean is the same in any order of summation.
    """
    total = np.einsum("irc,irc->i", brightness, visible, dtype=np.float64)
    mean = (total / np.maximum(visible.sum((1, 2)), 1)).astype(np.float32)
    return np.where(visible, brightness - mean[:, None, None], np.float32(0))


def _textured(colour: Field, shade: Field, deviation: Field) -> Field:
    """One channel of the object, 0 … 255, of which the mean is the colour rounded to a whole number.

    Clipping would move the mean, by more for a texture of few bright spots than for one of many. So where the texture
    would leave 0 … 255, its contrast is lowered until it does not. Rounding a pixel moves the mean by less than a half,
    which the rounding of the pooled colour undoes.
    """
    white, smallest = np.float32(255), np.float32(1e-6)
    middle = np.rint(np.clip(colour, 0, white))
    ends = shade * deviation.min((1, 2), keepdims=True), shade * deviation.max((1, 2), keepdims=True)
    above, below = np.maximum(*ends), -np.minimum(*ends)
    room = np.minimum((white - middle) / np.maximum(above, smallest), middle / np.maximum(below, smallest))
    textured: Field = middle + np.minimum(room, 1) * shade * deviation
    return textured


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """Where the object lies: points relative to its centre, in pixels; right and down are positive.

    `x` is [image 1 column] and `y` [image row 1], the rest [image 1 1].
    """

    x: Field
    y: Field
    radius: Field
    angle: Field
    period: Field
    size: int

    @classmethod
    def of(cls, keys: Keys, size: int) -> "_Frame":
        radius = _draw(keys, "radius", 0.3, 0.42) * size
        free = size / 2 - radius
        row, column = (size / 2 + 0.9 * free * _draw(keys, each, -1.0, 1.0) for each in ("row", "column"))
        points = np.arange(size, dtype=np.float32) + np.float32(0.5)
        return cls(
            x=points[None, None, :] - column[:, None, None],
            y=points[None, :, None] - row[:, None, None],
            radius=radius[:, None, None],
            angle=_draw(keys, "angle", -pi / 6, pi / 6)[:, None, None],
            period=(_draw(keys, "period", 0.11, 0.15) * size)[:, None, None],
            size=size,
        )

    def inside(self, shapes: Indices) -> npt.NDArray[np.bool_]:
        """Which pixels the shapes cover, [image row column]."""
        u, v = _turned(self.x / self.radius, -self.y / self.radius, self.angle)
        found = np.empty(u.shape, np.bool_)
        for shape in np.unique(shapes):
            those = shapes == shape
            found[those] = _OUTLINES[shape](u[those], v[those])
        return found

    def texture(self, textures: Indices, keys: Keys) -> Field:
        """The brightness of the textures at every pixel; those with a centre have it at the object's."""
        x, y = _turned(
            self.x / self.period, self.y / self.period, _draw(keys, "texture_angle", -0.4, 0.4)[:, None, None]
        )
        found = np.empty_like(x)
        for texture in np.unique(textures):
            those = textures == texture
            phase = [_draw(keys[those], name)[:, None, None] for name in ("phase_x", "phase_y")]
            central = texture in _CENTRAL
            across, along = (x[those], y[those]) if central else (x[those] + phase[0] + 64, y[those] + phase[1] + 64)
            found[those] = _TEXTURES[texture](across, along, keys[those])
        return found


_CENTRAL = frozenset(place for place, name in enumerate(TEXTURES) if name in {"rings", "rays"})


def _turned(x: Field, y: Field, angle: Field) -> tuple[Field, Field]:
    cosine, sine = np.cos(angle), np.sin(angle)
    return cosine * x + sine * y, cosine * y - sine * x


def _colours(task: ShapesTask, keys: Keys) -> tuple[Field, Field, Field, Field]:
    """In 0 … 1, [image channel]: object, background, what full brightness has more than full darkness, occluder."""
    middle = np.stack([_draw(keys, name, 0.3, 0.7) for name in ("red", "green", "blue")], axis=1)
    apart = np.float32(task.shape_contrast) * _direction(keys, "shape")
    shade = np.float32(task.texture_contrast) * _direction(keys, "texture")
    tone = _draw(keys, "occluder_tone", 0.1, 0.9)[:, None] * np.ones(3, np.float32)
    return middle + apart / 2, middle - apart / 2, shade, tone


def _direction(keys: Keys, name: str) -> Field:
    """A step in colour, light or dark, of length one for the brightness and with some hue."""
    sign = np.where(_draw(keys, f"{name}_tone") < 0.5, np.float32(-1), np.float32(1))
    hue = 2 * pi * _draw(keys, f"{name}_hue")
    tint = np.stack([np.cos(hue), np.cos(hue + 2 * pi / 3), np.cos(hue - 2 * pi / 3)], axis=1)
    found: Field = sign[:, None] * (1 + np.float32(0.35) * tint)
    return found


_CLOUDS = 9
"""Points along each axis between which the brightness of the clouds is interpolated."""


def _unevenness(keys: Keys, size: int) -> Field:
    """What the background has more or less than its mean colour: clouds and a ramp, [image row column]."""
    points = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / size
    places = points / _draw(keys, "cloud_scale", 0.13, 0.4)[:, None]
    near = np.clip(1 - np.abs(places[..., None] - np.arange(_CLOUDS, dtype=np.float32)), 0, 1)
    weights = ease(near)
    places_of_clouds = np.arange(_CLOUDS**2, dtype=np.uint64).reshape(_CLOUDS, _CLOUDS)
    heights = uniform(keys[:, None, None], len(_PURPOSES), places_of_clouds) - np.float32(0.5)
    contrast = _draw(keys, "cloud_contrast", 0.0, 0.25)[:, None, None]
    angle, slope = 2 * pi * _draw(keys, "ramp_angle"), _draw(keys, "ramp_contrast", 0.0, 0.25)
    across, along = ((slope * each(angle))[:, None] * (points - np.float32(0.5)) for each in (np.cos, np.sin))
    clouds: Field = weights @ (contrast * heights) @ weights.transpose(0, 2, 1)
    clouds += across[:, None, :] + along[:, :, None]
    return clouds


def _occluded(keys: Keys, frame: _Frame) -> npt.NDArray[np.bool_]:
    """A bar across every second image, over the edge of the object rather than its middle."""
    present = (_draw(keys, "occluder") < 0.5)[:, None, None]
    angle = _draw(keys, "occluder_angle", 0.0, 2 * pi)[:, None, None]
    across, _ = _turned(frame.x / frame.radius, frame.y / frame.radius, angle)
    place = _draw(keys, "occluder_place", 0.55, 1.0)[:, None, None]
    return present & (np.abs(across - place) < np.float32(0.13))
