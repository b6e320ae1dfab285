"""The specs of vision data: what distinguishes one set of drawn images from another."""

from dataclasses import dataclass

from subind.declared import Checked, positive, require


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapesTask(Checked):
    """Images of one of 16 shapes filled with one of 16 textures; the label is one of 16 classes.

    The shape is that of the label with the probability `shape_predictivity`, else one of the other 15; the texture
    likewise, independently. `shape_contrast` is the distance between the mean colours of object and background,
    `texture_contrast` that between the darkest and the brightest of the texture; each in 0 … 1, where 1 is the distance
    of black and white. The images of an index and a `data_seed` are the same for ever.
    """

    image_size: int
    shape_predictivity: float
    texture_predictivity: float
    shape_contrast: float
    texture_contrast: float
    data_seed: int

    def _check(self) -> None:
        positive(self, "image_size")
        require(16 <= self.image_size <= 512, self, "image_size", "give 16 to 512 pixels")
        for name in ("shape_predictivity", "texture_predictivity"):
            require(1 / 16 <= getattr(self, name) <= 1, self, name, "give a probability from 1/16 (chance) to 1")
        for name in ("shape_contrast", "texture_contrast"):
            require(0 <= getattr(self, name) <= 1, self, name, "give 0 to 1")
        require(0 <= self.data_seed < 2**31, self, "data_seed", "give 0 to 2**31 - 1")
