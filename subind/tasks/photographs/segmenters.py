"""Ways to cut an image into segments for mean-pooling, behind one protocol.

Drawn images have exact segments (see `shapes`). For photographs there are two classical methods of scikit-image, and
SAM with the paper's settings (Kirillov et al. 2023; the optional extra `sam` and a file of weights).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from subind.specs.base import Checked, not_negative, positive
from subind.specs.quoting import quoted_path
from subind.tasks.photographs.mean_pool import Image, Segments


class Segmenter(Protocol):
    """Cuts images into segments, which may overlap and need not cover all."""

    def segments(self, image: Image) -> Segments:
        """The segments [segment row column] of an image [row column channel]."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Slic(Checked):
    """Superpixels by k-means in colour and place (Achanta et al. 2012): about `num_segments`, rounder if compact."""

    num_segments: int
    compactness: float

    def _check(self) -> None:
        positive(self, "num_segments", "compactness")

    def segments(self, image: Image) -> Segments:
        from skimage.segmentation import slic

        return _by_number(slic(image, n_segments=self.num_segments, compactness=self.compactness, start_label=0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Felzenszwalb(Checked):
    """Regions by a graph of pixels (Felzenszwalb, Huttenlocher 2004): larger with a larger `scale`.

    `sigma` is the width in pixels of the blur before, `min_size` the fewest pixels of a segment.
    """

    scale: float
    sigma: float
    min_size: int

    def _check(self) -> None:
        positive(self, "scale", "min_size")
        not_negative(self, "sigma")

    def segments(self, image: Image) -> Segments:
        from skimage.segmentation import felzenszwalb

        return _by_number(felzenszwalb(image, scale=self.scale, sigma=self.sigma, min_size=self.min_size))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sam(Checked):
    """SAM's automatic masks with the paper's settings; `weights` is Meta's file for the backbone.

    16 points a side, one layer of crops with half the points, regions under 100 pixels removed.
    """

    backbone: Literal["vit_h", "vit_l", "vit_b"]
    weights: str
    device: str

    def check_present(self) -> None:
        """Raise ValueError if the extra or the file of weights is absent."""
        if missing := [name for name in ("cv2", "segment_anything") if find_spec(name) is None]:
            raise ValueError(f"segmenter is sam and {missing[0]} is not installed: run with `uv run --extra sam`")
        if not Path(self.weights).is_file():
            raise ValueError(
                f"weights of SAM are {quoted_path(self.weights)}, which is not a file: download Meta's checkpoint for "
                f"{self.backbone} (ViT-H: sam_vit_h_4b8939.pth) and give its path"
            )

    def segments(self, image: Image) -> Segments:
        """Raises ValueError if the extra or the file of weights is absent."""
        self.check_present()
        found = [each["segmentation"] for each in _sam_generator(self)(image)]
        return np.stack(found) if found else np.zeros((0, *image.shape[:2]), np.bool_)


@cache
def _sam_generator(of: Sam) -> Callable[[Image], list[dict[str, Any]]]:
    from segment_anything import SamAutomaticMaskGenerator, sam_model_registry

    model = sam_model_registry[of.backbone](checkpoint=of.weights).to(of.device)
    made = SamAutomaticMaskGenerator(
        model,
        points_per_side=16,
        crop_n_layers=1,
        crop_n_points_downscale_factor=2,
        min_mask_region_area=100,
    )
    generate: Callable[[Image], list[dict[str, Any]]] = made.generate
    return generate


def _by_number(numbers: npt.NDArray[np.integer[Any]]) -> Segments:
    """The segments of an image whose pixels carry the number of theirs."""
    found: Segments = numbers[None] == np.unique(numbers)[:, None, None]
    return found
