"""Makes a folder of small pictures for each of three shapes."""

import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw

SHAPES = ["circle", "square", "triangle"]
SIZE = 48


def picture(shape: str, rng: random.Random) -> Image.Image:
    """Return a shape of any colour, size and place, on a ground of another colour."""
    ground = Image.new("RGB", (SIZE, SIZE), tuple(rng.randrange(0, 110) for _ in range(3)))
    reach = rng.randrange(8, 17)
    x, y = (rng.randrange(reach, SIZE - reach) for _ in range(2))
    box, draw = (x - reach, y - reach, x + reach, y + reach), ImageDraw.Draw(ground)
    colour = tuple(rng.randrange(140, 256) for _ in range(3))
    if shape == "circle":
        draw.ellipse(box, fill=colour)
    elif shape == "square":
        draw.rectangle(box, fill=colour)
    else:
        draw.polygon([(x, y - reach), (x + reach, y + reach), (x - reach, y + reach)], fill=colour)
    return ground


def main(folder: Path, count: int, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311  (pictures to try things on)
    for number in range(count):
        shape = SHAPES[number % len(SHAPES)]
        path = folder / shape / f"{number:05d}.{'jpg' if number % 2 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(shape, rng).save(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), seed=int(sys.argv[3]))
