"""Makes a folder of short letters to a shop for each of three kinds."""

import random
import sys
from pathlib import Path

SAYS = {
    "complaint": ["It arrived broken.", "I want my money back!", "Nobody answers.", "This is the wrong size."],
    "praise": ["It works as it should.", "Thank you for the quick answer!", "We all love it.", "I will come back."],
    "question": ["Do you have it in blue?", "When are you open?", "What does it cost to send it?", "Is it in stock?"],
}
ABOUT = ["the lamp", "my order", "the blue chair", "a table of yours", "the second parcel", "our new kettle"]
PLAIN = ["Dear shop,", "hello,", "Good morning.", "I am writing about {}.", "It is about {}.", "Best wishes", "Yours"]


def letter(kind: str, rng: random.Random) -> str:
    """Return a letter of which a sentence or two tell the kind, and one in ten tells another."""
    told = kind if rng.random() < 0.9 else rng.choice(list(SAYS))
    parts = [*rng.sample(PLAIN, rng.randint(2, 4)), *rng.sample(SAYS[told], rng.randint(1, 2))]
    rng.shuffle(parts)
    return " ".join(parts).replace("{}", rng.choice(ABOUT))


def main(folder: Path, count: int, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311  (letters to try things on)
    for number in range(count):
        kind = list(SAYS)[number % len(SAYS)]
        path = folder / kind / f"{number:05d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(letter(kind, rng) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), seed=int(sys.argv[3]))
