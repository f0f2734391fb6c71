"""What each sample scene shows: a table, by hand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """One object of a scene, cut out of ``file`` along its outline."""

    file: str
    height: float
    """Of the whole object, as a fraction of the scene's height."""
    x: float = 0.5
    y: float = 0.5
    """Centre, as fractions of the scene's width and height."""
    mirrored: bool = False
    turn: float = 0.0
    """Degrees clockwise."""
    shadow: bool = False
    """Whether it stands on the ground and darkens it."""


@dataclass(frozen=True)
class Ledge:
    """Something in the foreground: from ``top`` (a fraction of the height) to the lower edge."""

    texture: str
    top: float
    wave: float = 0.0
    """How far its upper edge goes up and down, in pixels."""


@dataclass(frozen=True)
class Scene:
    """A background and what stands before it, back to front."""

    name: str
    size: tuple[int, int]
    """Width and height in pixels."""
    back: str
    """Texture of the whole background, or of what is above ``horizon``."""
    pieces: tuple[Item | Ledge, ...] = ()
    ground: str | None = None
    """Texture of a plane below ``horizon``, seen in perspective."""
    horizon: float = 0.5
    """A fraction of the height."""


CAT, WOMAN, MAN = "chelsea.png", "astronaut.png", "camera.png"
CUP, FLOWER = "coffee.png", "flower.jpg"
BIKE, BIKE_2 = "motorcycle_left.png", "motorcycle_right.png"

SCENES = (
    # Nothing to be found.
    Scene("lawn", (600, 400), "lawn"),
    Scene("brick_wall", (420, 560), "brick"),
    Scene("lake", (640, 427), "lake"),
    # Cats. Their photo cuts off their ears, so they are always at the upper edge.
    Scene("cat_leaves", (640, 380), "leaves", (Item(CAT, 1.06),)),
    Scene("cat_lawn", (640, 360), "lawn", (
        Item(CAT, 1.06, mirrored=True),
        Item(FLOWER, 0.34, x=0.11, y=0.7, turn=20),
    )),
    Scene("cat_wall", (480, 480), "lake", (Item(CAT, 0.6), Ledge("brick", 0.5))),
    Scene("cat_gravel", (640, 427), "night", (
        Item(CAT, 0.7, mirrored=True),
        Ledge("gravel", 0.62, wave=5),
        Item(CUP, 0.42, x=0.24, y=0.68, shadow=True),
    )),
    Scene("cat_shelf", (600, 400), "shelf", (Item(CAT, 0.8), Ledge("wood", 0.7))),
    # People. Their photos cut them off below.
    Scene("astronaut_stars", (480, 600), "stars", (Item(WOMAN, 0.72, x=0.52),),
          ground="sand", horizon=0.55),
    Scene("astronaut_wall", (640, 427), "lake", (
        Item(WOMAN, 0.74, x=0.62, mirrored=True), Ledge("brick", 0.7),
    )),
    Scene("astronaut_cup", (640, 480), "shelf", (
        Item(WOMAN, 0.8, x=0.36, y=0.48),
        Ledge("wood", 0.78),
        Item(CUP, 0.34, x=0.8, y=0.76, turn=-4, shadow=True),
    )),
    Scene("astronaut_motorcycle", (640, 427), "stars", (
        Item(BIKE, 0.5, x=0.28, y=0.56, shadow=True),
        Item(WOMAN, 0.7, x=0.77),
    ), ground="sand", horizon=0.45),
    Scene("man_flower", (600, 420), "leaves", (
        Item(MAN, 0.9), Item(FLOWER, 0.4, x=0.83, y=0.4),
    )),
    Scene("man_brick", (400, 560), "brick", (Item(MAN, 0.66, mirrored=True),)),
    Scene("two_people", (640, 420), "lake", (
        Item(MAN, 0.82), Item(WOMAN, 0.78, x=0.74),
    ), ground="dry_grass", horizon=0.58),
    # Cups.
    Scene("cup_wood", (480, 400), "wood", (Item(CUP, 0.7, x=0.48, y=0.52, shadow=True),)),
    Scene("cup_gravel", (420, 520), "gravel", (
        Item(CUP, 0.44, x=0.55, y=0.45, turn=12, shadow=True),
    )),
    Scene("two_cups", (640, 440), "paving", (
        Item(CUP, 0.5, x=0.3, y=0.4, turn=-8, shadow=True),
        Item(CUP, 0.44, x=0.76, y=0.66, mirrored=True, turn=6, shadow=True),
    )),
    Scene("cup_flower", (600, 450), "dry_grass", (
        Item(CUP, 0.52, x=0.34, y=0.58, mirrored=True, shadow=True),
        Item(FLOWER, 0.46, x=0.78, y=0.36, turn=-15),
    )),
    # Flowers.
    Scene("flower_lawn", (480, 480), "lawn", (Item(FLOWER, 0.58, x=0.47, y=0.48, turn=30),)),
    Scene("two_flowers", (640, 420), "leaves", (
        Item(FLOWER, 0.66, x=0.32, y=0.52, turn=-25),
        Item(FLOWER, 0.42, x=0.77, y=0.38, mirrored=True, turn=50),
    )),
    Scene("flower_brick", (360, 540), "brick", (Item(FLOWER, 0.46, x=0.56, y=0.4),)),
    # Motorcycles.
    Scene("motorcycle_night", (640, 427), "night", (
        Item(BIKE, 0.72, x=0.5, y=0.56, shadow=True),
    ), ground="gravel", horizon=0.42),
    Scene("motorcycle_paving", (600, 400), "brick", (
        Item(BIKE_2, 0.68, x=0.46, y=0.56, mirrored=True, shadow=True),
    ), ground="paving", horizon=0.52),
    Scene("two_motorcycles", (640, 480), "lake", (
        Item(BIKE, 0.36, x=0.7, y=0.52, mirrored=True, shadow=True),
        Item(BIKE_2, 0.5, x=0.36, y=0.68, shadow=True),
    ), ground="lawn", horizon=0.46),
    Scene("motorcycle_sand", (480, 360), "night", (
        Item(BIKE, 0.62, x=0.55, y=0.58, mirrored=True, turn=-2, shadow=True),
    ), ground="sand", horizon=0.4),
)  # fmt: skip
