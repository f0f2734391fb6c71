"""The README that is written beside the sample photos: what they are and whose."""

from __future__ import annotations

import textwrap

from prelabel.samples.backgrounds import TEXTURES
from prelabel.samples.scenes import SCENES, Item, Scene

_TEXT = """\
Sample photos for prelabel
==========================

photos/            the photos
ground_truth.json  what is in them: COCO instances, masks as compressed RLE

{real}
are copies of the files in the wheels of scikit-image and scikit-learn. Their masks are polygons
that were drawn by hand. A person's goes around what the person holds, a cup's around its saucer
and spoon.

The others are made of parts of those and of more pictures from the same wheels: objects cut out
along the same polygons, scaled, turned, mirrored, made lighter or darker; backgrounds cropped,
scaled and blurred; grey pictures coloured. Their masks are exact: a pixel belongs to an object if
at least half of its colour does.

{scenes}

Whose they are
--------------

From the wheel of scikit-image (https://scikit-image.org), as its documentation has it:

astronaut.png          Eileen Collins; NASA, public domain; https://flic.kr/p/r9qvLn
brick.png              CC0Textures, CC0
camera.png             Lav Varshney, CC0
chelsea.png            Stefan van der Walt, CC0
coffee.png             Rachel Michetti, courtesy of Pikolo Espresso Bar, CC0
grass.png              linolafett on DeviantArt, CC0
gravel.png             CC0Textures, CC0
hubble_deep_field.jpg  NASA, public domain
motorcycle_left.png, motorcycle_right.png
                       Middlebury 2014 stereo benchmark; scikit-image names no licence.
                       D. Scharstein and others, "High-resolution stereo datasets with
                       subpixel-accurate ground truth", GCPR 2014;
                       https://vision.middlebury.edu/stereo/data/scenes2014/
rocket.jpg             SpaceX, public domain

From the wheel of scikit-learn (https://scikit-learn.org), both Creative Commons Attribution 2.0,
https://creativecommons.org/licenses/by/2.0/, changed in the scenes as said above:

china.jpg              danielbuechele,
                       https://www.flickr.com/photos/danielbuechele/6061409035/
flower.jpg             vultilion (scikit-learn's note says danielbuechele),
                       https://www.flickr.com/photos/vultilion/6056698931/
"""


def readme(real: list[str]) -> str:
    """The README's text; ``real`` are the photos that are copies."""
    names = [f"{scene.name}.jpg" for scene in SCENES]
    width = max(map(len, names))
    lines = [
        f"{name:{width}}  {', '.join(_files(scene))}"
        for name, scene in zip(names, SCENES, strict=True)
    ]
    return _TEXT.format(real=textwrap.fill(", ".join(real), 96), scenes="\n".join(lines))


def _files(scene: Scene) -> list[str]:
    """The pictures that a scene is made of."""
    textures = [scene.back, *([scene.ground] if scene.ground else [])]
    textures += [piece.texture for piece in scene.pieces if not isinstance(piece, Item)]
    pictures = [piece.file for piece in scene.pieces if isinstance(piece, Item)]
    return sorted({TEXTURES[name].file for name in textures} | set(pictures))
