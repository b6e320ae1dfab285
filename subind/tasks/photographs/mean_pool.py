"""Mean-pooling: an image whose segments are each painted with their mean colour, so that texture is gone.

Segments are painted largest first, so that small ones win where they overlap; pixels of no segment get their common
mean. Source: Zhang, Lepori, Pavlick, arXiv 2310.10899.
"""

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Segments = npt.NDArray[np.bool_]


def mean_pooled(image: Image, segments: Segments) -> Image:
    """The image [row column channel] with its segments [segment row column] painted in their mean colours.

    A mean is over all pixels of the segment in the original image, rounded to the nearest integer, halves up. Segments
    of equal size are painted in their order; an empty one is passed over. Raises ValueError for other shapes or types.
    """
    _check(image, segments)
    pooled = np.empty_like(image)
    rest = ~np.asarray(segments.any(axis=0))
    if rest.any():
        pooled[rest] = _mean(image, rest)
    sizes = segments.sum((1, 2))
    for index in np.argsort(-sizes, kind="stable"):
        if sizes[index]:
            pooled[segments[index]] = _mean(image, segments[index])
    return pooled


def _mean(image: Image, inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """The mean colour in integers: floor((2·sum + count) / (2·count)) is the mean rounded, halves up."""
    pixels = image[inside]
    total, count = pixels.sum(0, dtype=np.int64), len(pixels)
    colour: npt.NDArray[np.uint8] = ((2 * total + count) // (2 * count)).astype(np.uint8)
    return colour


def _check(image: Image, segments: Segments) -> None:
    if image.ndim != 3 or image.dtype != np.uint8:
        raise ValueError(f"image has shape {image.shape} and type {image.dtype}: give uint8 [row column channel]")
    if segments.ndim != 3 or segments.dtype != np.bool_ or segments.shape[1:] != image.shape[:2]:
        raise ValueError(
            f"segments have shape {segments.shape} and type {segments.dtype}: give bool [segment row column] of the "
            f"image's {image.shape[0]} rows and {image.shape[1]} columns"
        )
