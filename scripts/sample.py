"""Builds the sample that ships: emoji pictures with their CLDR names, as captions, questions and talks.

    apt-get install fonts-noto-color-emoji
    python -m scripts.small_model.names --output build/small
    python scripts/sample.py --names build/small --font NotoColorEmoji.ttf --output pipelines/sample

Every text that gets translated is a CLDR name that the small model was trained on (split `train` of
`pairs.jsonl`), so that the sample shows true translations. Every choice is made by a hash of the
name, so a rebuild gives the same files. Their recipe is `recipes/sample.yaml`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

FONT_SIZE = 109
"""The only size that Noto Color Emoji's bitmaps have."""
GLYPH_MARGIN = 4
"""Glyphs are 136 pixels wide, 4 of them empty on each side."""
SIZE = 128
"""Width and height of a picture in pixels."""
COLOURS = 128
"""Of the palette; nothing is lost to the eye in flat drawings, and files shrink to about 3 kB."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    noun: tuple(name.strip() for name in names.split(","))
    for noun, names in {
        "animal": "dog, poodle, wolf, fox, cat, lion, tiger, leopard, horse, donkey, deer, ox, water buffalo,"
        "cow, pig, boar, ram, ewe, goat, camel, two-hump camel, llama, giraffe, elephant, rhinoceros, mouse,"
        "rat, hamster, rabbit, chipmunk, hedgehog, bat, koala, gorilla, monkey, bird, fish, bug, frog,"
        "turtle, lizard, snake, snail, sauropod, T-Rex",
        "bird": "turkey, chicken, rooster, baby chick, hatching chick, penguin, dove, eagle, duck, owl",
        "sea animal": "spouting whale, whale, dolphin, tropical fish, blowfish, shark, octopus, crab, shrimp,"
        "squid",
        "insect": "butterfly, ant, honeybee, lady beetle, cricket",
        "animal face": "dog face, cat face, monkey face, horse face, pig face, mouse face, rabbit face,"
        "grinning cat, crying cat, pouting cat",
        "fantasy creature": "ghost, alien, mermaid, unicorn, dragon",
        "heart": "heart with arrow, heart with ribbon, sparkling heart, broken heart, red heart,"
        "orange heart, yellow heart, green heart, blue heart, purple heart, black heart",
        "part of the body": "ear, nose, brain, eye, eyes, tongue, mouth",
        "flower": "cherry blossom, rose, wilted flower, hibiscus, sunflower, tulip",
        "plant": "seedling, evergreen tree, deciduous tree, palm tree, cactus, sheaf of rice, herb,"
        "shamrock, four leaf clover",
        "thing from nature": "maple leaf, fallen leaf, mushroom, spider web, spiral shell, fire, droplet,"
        "water wave, snowflake, gem stone, paw prints",
        "fruit": "grapes, watermelon, tangerine, lemon, banana, pineapple, mango, green apple, pear, peach,"
        "cherries, strawberry, kiwi fruit, coconut, avocado",
        "vegetable": "tomato, eggplant, potato, carrot, ear of corn, hot pepper, cucumber, broccoli",
        "food": "bread, croissant, baguette bread, pretzel, pancakes, cheese wedge, meat on bone,"
        "poultry leg, cut of meat, bacon, hamburger, french fries, pizza, hot dog, sandwich, taco, burrito,"
        "stuffed flatbread, egg, popcorn, canned food, green salad, bento box, rice cracker, rice ball,"
        "cooked rice, curry rice, spaghetti, roasted sweet potato, sushi, fried shrimp, dumpling, peanuts,"
        "chestnut",
        "sweet food": "soft ice cream, shaved ice, doughnut, cookie, fortune cookie, birthday cake,"
        "shortcake, pie, chocolate bar, candy, lollipop, custard, honey pot",
        "drink": "glass of milk, hot beverage, teacup without handle, sake, wine glass, cocktail glass,"
        "tropical drink, beer mug, cup with straw",
        "thing for eating": "chopsticks, fork and knife, spoon, kitchen knife, bowl with spoon",
        "building": "stadium, classical building, house, derelict house, house with garden, houses,"
        "office building, post office, hospital, bank, hotel, convenience store, department store, school,"
        "factory, castle, Japanese castle, church, mosque, synagogue",
        "famous sight": "Tokyo tower, Statue of Liberty, moai, mount fuji, kaaba",
        "view": "snow-capped mountain, mountain, volcano, beach with umbrella, desert, desert island,"
        "national park, motorway, railway track, cityscape, sunrise, sunset, bridge at night, milky way,"
        "night with stars",
        "fairground attraction": "carousel horse, ferris wheel, roller coaster, circus tent",
        "vehicle": "locomotive, railway car, high-speed train, bullet train, train, metro, tram, monorail,"
        "bus, trolleybus, minibus, ambulance, fire engine, police car, taxi, automobile,"
        "sport utility vehicle, delivery truck, articulated lorry, tractor, racing car, motorcycle,"
        "motor scooter, bicycle, sailboat, canoe, speedboat, passenger ship, ferry, ship, airplane,"
        "small airplane, helicopter, aerial tramway, rocket, flying saucer",
        "thing on the street": "bus stop, fuel pump, horizontal traffic light, vertical traffic light,"
        "stop sign, barber pole, postbox",
        "thing in the sky": "full moon, first quarter moon, sun, sun with face, star, shooting star,"
        "sun behind cloud, cloud with rain, cloud with snow, cloud with lightning, tornado, rainbow",
        "thing for a celebration": "jack-o-lantern, Christmas tree, sparkler, balloon, party popper,"
        "confetti ball, carp streamer, ribbon, wrapped gift, pine decoration, red paper lantern",
        "award": "military medal, trophy, sports medal, 1st place medal, 2nd place medal, 3rd place medal",
        "thing from sport": "soccer ball, baseball, basketball, volleyball, american football, bowling,"
        "field hockey, ice hockey, ping pong, boxing glove, goal net, flag in hole, ice skate, curling stone,"
        "fishing pole, bullseye",
        "thing from a game": "video game, joystick, slot machine, game die, spade suit, heart suit,"
        "diamond suit, club suit, joker",
        "thing to wear": "glasses, sunglasses, necktie, t-shirt, jeans, scarf, gloves, coat, socks, dress,"
        "kimono, bikini, running shoe, high-heeled shoe, crown, top hat, billed cap, graduation cap, ring",
        "bag": "purse, handbag, clutch bag, shopping bags, backpack, briefcase, money bag",
        "musical instrument": "saxophone, guitar, musical keyboard, trumpet, violin, drum",
        "thing for sound": "microphone, studio microphone, headphone, radio, bell, bellhop bell, megaphone,"
        "loudspeaker",
        "piece of equipment": "mobile phone, telephone, telephone receiver, pager, fax machine, battery,"
        "electric plug, laptop, printer, keyboard, computer mouse, movie camera, film projector, television,"
        "camera, video camera",
        "thing made of paper": "open book, green book, blue book, orange book, books, notebook, newspaper,"
        "rolled-up newspaper, scroll, envelope, calendar, spiral notepad, yen banknote, dollar banknote,"
        "euro banknote, pound banknote",
        "thing from an office": "pencil, pen, fountain pen, paintbrush, crayon, pushpin, paperclip,"
        "linked paperclips, straight ruler, triangular ruler, scissors, file cabinet, file folder, clipboard",
        "chart": "bar chart, chart increasing, chart decreasing",
        "thing from a workshop": "hammer, pick, wrench, nut and bolt, gear, clamp, hammer and pick,"
        "hammer and wrench, chains",
        "thing for a knight": "dagger, crossed swords, bow and arrow, shield",
        "thing in a house": "key, old key, door, bed, couch and lamp, toilet, shower, candle, light bulb,"
        "flashlight, wastebasket, umbrella, closed umbrella",
        "thing from science or medicine": "alembic, microscope, telescope, satellite antenna, syringe, pill,"
        "thermometer",
        "shape": "red circle, blue circle, black circle, white circle, black large square,white large square",
    }.items()
}
"""What each picture shows, by a noun that is true of every one in the group."""

OVERLAPPING: tuple[str, ...] = (
    "dog, poodle",
    "ox, water buffalo, cow",
    "pig, boar",
    "ram, ewe, goat",
    "camel, two-hump camel, llama",
    "mouse, rat, hamster, chipmunk",
    "gorilla, monkey",
    "lizard, sauropod, T-Rex",
    "snail, bug",
    "tiger, leopard, cat, lion",
    "horse, donkey",
    "wolf, fox, dog",
    "chicken, rooster, baby chick, hatching chick, turkey",
    "whale, spouting whale, dolphin",
    "tropical fish, blowfish, shark",
    "octopus, squid",
    "cat face, grinning cat, crying cat, pouting cat",
    "broken heart, red heart",
    "sparkling heart, heart with arrow, heart with ribbon",
    "eye, eyes",
    "tongue, mouth",
    "rose, wilted flower",
    "seedling, herb, shamrock, four leaf clover",
    "droplet, water wave",
    "maple leaf, fallen leaf",
    "tangerine, lemon",
    "bread, croissant, baguette bread, pretzel, sandwich, hot dog, hamburger",
    "meat on bone, poultry leg, cut of meat, bacon, hamburger, hot dog, bento box",
    "cheese wedge, hamburger, pizza, taco, sandwich",
    "taco, burrito, stuffed flatbread, bread, baguette bread",
    "bacon, cut of meat, sandwich, pizza, burrito, taco, stuffed flatbread",
    "green salad, bento box, hamburger, sandwich, taco, burrito, stuffed flatbread",
    "rice cracker, rice ball, cooked rice, curry rice, sushi, bento box, burrito",
    "egg, bento box, sushi",
    "fried shrimp, sushi, bento box",
    "soft ice cream, shaved ice",
    "cookie, fortune cookie",
    "birthday cake, shortcake, pie",
    "chocolate bar, cookie, doughnut, candy",
    "candy, lollipop",
    "hot beverage, teacup without handle",
    "sake, teacup without handle",
    "cocktail glass, tropical drink, wine glass",
    "tropical drink, cup with straw",
    "spoon, bowl with spoon",
    "fork and knife, kitchen knife",
    "house, derelict house, house with garden, houses",
    "castle, Japanese castle",
    "classical building, bank",
    "office building, hospital, department store, hotel, school, bank, post office, factory",
    "convenience store, department store",
    "classical building, castle, Japanese castle, church, mosque, synagogue",
    "snow-capped mountain, mountain, volcano, national park, railway track, desert, milky way",
    "sunrise, sunset, desert",
    "cityscape, sunset, night with stars",
    "night with stars, milky way, bridge at night",
    "beach with umbrella, desert island, desert",
    "motorway, railway track",
    "locomotive, railway car, high-speed train, bullet train, train, metro, tram, monorail, aerial tramway",
    "bus, trolleybus, minibus, tram",
    "ambulance, minibus, fire engine, delivery truck, articulated lorry",
    "taxi, automobile, police car, sport utility vehicle, racing car, minibus, ambulance",
    "motorcycle, motor scooter, bicycle",
    "sailboat, canoe, speedboat, passenger ship, ferry, ship",
    "airplane, small airplane",
    "rocket, flying saucer",
    "horizontal traffic light, vertical traffic light",
    "full moon, first quarter moon",
    "sun, sun with face, sun behind cloud",
    "star, shooting star",
    "sun behind cloud, cloud with rain, cloud with snow, cloud with lightning",
    "party popper, confetti ball, carp streamer, ribbon",
    "ribbon, wrapped gift",
    "Christmas tree, pine decoration, ribbon",
    "military medal, sports medal",
    "sports medal, 1st place medal",
    "sports medal, 2nd place medal",
    "sports medal, 3rd place medal",
    "field hockey, ice hockey",
    "video game, joystick",
    "glasses, sunglasses",
    "necktie, t-shirt",
    "dress, kimono",
    "running shoe, high-heeled shoe",
    "top hat, billed cap, graduation cap",
    "purse, handbag, clutch bag, money bag, briefcase",
    "microphone, studio microphone",
    "bell, bellhop bell",
    "megaphone, loudspeaker, radio",
    "mobile phone, telephone, telephone receiver, fax machine, printer",
    "laptop, keyboard",
    "fax machine, keyboard",
    "movie camera, camera, video camera, film projector",
    "books, open book",
    "books, green book",
    "books, blue book",
    "books, orange book",
    "books, notebook",
    "notebook, spiral notepad",
    "newspaper, rolled-up newspaper",
    "pen, fountain pen",
    "pencil, crayon",
    "paperclip, linked paperclips",
    "straight ruler, triangular ruler",
    "clipboard, paperclip",
    "file cabinet, file folder",
    "hammer, hammer and pick",
    "hammer, hammer and wrench",
    "pick, hammer and pick",
    "wrench, hammer and wrench",
    "hammer and pick, hammer and wrench",
    "dagger, crossed swords",
    "key, old key",
    "umbrella, closed umbrella",
    "couch and lamp, light bulb",
    "microscope, telescope",
)
"""Names of one group that are never set against each other: both may be true of a picture, or look alike."""

NAMING = (
    "What is shown in the picture?",
    "What do you see?",
    "What is this called?",
    "What does the picture show?",
    "What has been drawn here?",
    "Name what is in the picture.",
)
OF_KIND = (
    "Which {noun} is this?",
    "Which {noun} is in the picture?",
    "Name the {noun} in the picture.",
)
PRESENT = (
    "Which of these is in the picture: {first} or {second}?",
    "Which words fit the picture: “{first}” or “{second}”?",
    "Does this look more like “{first}” or like “{second}”?",
)
ABSENT = (
    "Which of these is not in the picture: {first} or {second}?",
    "Which words do not fit the picture: “{first}” or “{second}”?",
)
GREETINGS = (
    "Hello! What do you see?",
    "Can you tell me what this is?",
    "I found this picture. What does it show?",
    "Please name what is drawn here.",
)
FOLLOW_UPS = (
    "Name another {noun} that is not in the picture.",
    "Now tell me a different {noun}, one that the picture does not show.",
    "Which other {noun} could have been drawn instead?",
)


@dataclass(frozen=True)
class Picture:
    """One picture of the sample."""

    name: str
    """The CLDR name, true of the picture."""
    emoji: str
    noun: str
    """The group's noun."""

    @property
    def slug(self) -> str:
        return self.name.lower().replace("’", "").replace(" ", "-")

    @property
    def file_name(self) -> str:
        return f"{self.slug}.png"


def trained_emoji(pairs: Path) -> dict[str, str]:
    """English name -> emoji of the names that the small model was trained on.

    Raises:
        OSError: there is no such file.
    """
    names: dict[str, str] = {}
    with pairs.open(encoding="utf-8") as lines:
        for line in lines:
            pair = json.loads(line)
            if pair["split"] == "train":
                names.setdefault(pair["english"], pair["emoji"])
    return names


def pictures(trained: Mapping[str, str]) -> tuple[Picture, ...]:
    """The pictures of the sample, group by group.

    Raises:
        ValueError: a name of `GROUPS` or `OVERLAPPING` is unknown, held out, or there twice.
    """
    chosen = tuple(
        Picture(name, trained.get(name, ""), noun) for noun, names in GROUPS.items() for name in names
    )
    unknown = sorted(picture.name for picture in chosen if not picture.emoji)
    if unknown:
        raise ValueError(f"GROUPS holds names that the small model was not trained on: {unknown}")
    names = [picture.name for picture in chosen]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"GROUPS holds names twice: {twice}")
    stray = sorted({name for pair in overlaps() for name in pair} - set(names))
    if stray:
        raise ValueError(f"OVERLAPPING holds names that GROUPS lacks: {stray}")
    return chosen


def overlaps() -> frozenset[frozenset[str]]:
    """All pairs of names that are never set against each other."""
    return frozenset(
        frozenset(pair)
        for family in OVERLAPPING
        for pair in combinations([name.strip() for name in family.split(",")], 2)
    )


def number(*key: str) -> int:
    """A number that depends on the key alone."""
    return int.from_bytes(hashlib.sha256("\n".join(key).encode()).digest()[:8], "big")


def pick(options: tuple[str, ...], *key: str) -> str:
    return options[number(*key) % len(options)]


def others(picture: Picture, forbidden: frozenset[frozenset[str]]) -> tuple[str, ...]:
    """Names of the group that are certainly not true of the picture, in an order of its own."""
    rivals = [
        name
        for name in GROUPS[picture.noun]
        if name != picture.name and frozenset((name, picture.name)) not in forbidden
    ]
    return tuple(sorted(rivals, key=lambda name: number("rival", picture.name, name)))


def choice(wording: str, key: str, one: str, other: str) -> str:
    """The two names in either order, so that the place of the right one tells nothing."""
    first, second = (one, other) if number("order", wording, key) % 2 else (other, one)
    return wording.format(first=first, second=second)


def questions(picture: Picture, rivals: tuple[str, ...]) -> list[dict[str, str]]:
    """Questions with short answers; every answer is a trained name that is true by construction."""
    name = picture.name
    naming = pick(NAMING, "naming", name)
    again = pick(tuple(wording for wording in NAMING if wording != naming), "again", name)
    asked = [
        (naming, name),
        (again, name),
        (pick(OF_KIND, "kind", name).format(noun=picture.noun), name),
        (choice(pick(PRESENT, "present", name), name, name, rivals[0]), name),
        (choice(pick(ABSENT, "absent", name), name, name, rivals[1 % len(rivals)]), rivals[1 % len(rivals)]),
    ]
    return [
        {
            "id": f"{picture.slug}-{index}",
            "image": picture.file_name,
            "question": question,
            "answer": answer,
        }
        for index, (question, answer) in enumerate(asked, start=1)
    ]


def conversation(picture: Picture, rivals: tuple[str, ...]) -> dict[str, Any]:
    """Two turns in LLaVA's layout."""
    name = picture.name
    follow_up = pick(FOLLOW_UPS, "follow-up", name).format(noun=picture.noun)
    return {
        "id": picture.slug,
        "image": picture.file_name,
        "conversations": [
            {"from": "human", "value": f"<image>\n{pick(GREETINGS, 'greeting', name)}"},
            {"from": "gpt", "value": name},
            {"from": "human", "value": follow_up},
            {"from": "gpt", "value": rivals[2 % len(rivals)]},
        ],
    }


def captions(chosen: tuple[Picture, ...]) -> dict[str, Any]:
    """The content of a COCO captions file."""
    return {
        "info": {
            "description": "Emoji pictures (Noto Color Emoji) with their English names (CLDR, Unicode-3.0)",
            "version": "1",
        },
        "licenses": [
            {
                "id": 1,
                "name": "Apache License 2.0 (art of Noto Emoji; as a font, SIL Open Font License 1.1)",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
        ],
        "images": [
            {"id": number, "file_name": picture.file_name, "width": SIZE, "height": SIZE, "license": 1}
            for number, picture in enumerate(chosen, start=1)
        ],
        "annotations": [
            {"id": number, "image_id": number, "caption": picture.name}
            for number, picture in enumerate(chosen, start=1)
        ],
    }


def draw(emoji: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """The emoji on white, 128 by 128 pixels, with a palette.

    Raises:
        ValueError: the font has no picture of it.
    """
    canvas = Image.new("RGB", (SIZE, SIZE), "white")
    ImageDraw.Draw(canvas).text((-GLYPH_MARGIN, 0), emoji, font=font, embedded_color=True)
    if canvas.getcolors(1) is not None:
        raise ValueError(f"the font has no picture of {emoji!r}")
    return canvas.quantize(COLOURS, dither=Image.Dither.NONE)


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> int:
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
    path.write_text("".join(lines), encoding="utf-8")
    return len(lines)


def build(pairs: Path, font: Path, output: Path) -> str:
    """Writes the sample into `output` and returns what was written, in words.

    Raises:
        ValueError: names do not fit the pairs, or the font lacks a picture.
        OSError: a file cannot be read or written.
    """
    chosen = pictures(trained_emoji(pairs))
    forbidden = overlaps()
    rivals = {picture.name: others(picture, forbidden) for picture in chosen}
    lonely = sorted(name for name, names in rivals.items() if not names)
    if lonely:
        raise ValueError(f"no other name of the group is safe beside {lonely}")
    loaded = ImageFont.truetype(str(font), FONT_SIZE)
    images = output / "images"
    images.mkdir(parents=True, exist_ok=True)
    for path in images.glob("*.png"):
        path.unlink()
    for picture in chosen:
        draw(picture.emoji, loaded).save(images / picture.file_name, optimize=True)
    coco = captions(chosen)
    text = json.dumps(coco, ensure_ascii=False, indent=1)
    (output / "captions.json").write_text(text + "\n", encoding="utf-8")
    asked = write_lines(
        output / "questions.jsonl",
        (question for picture in chosen for question in questions(picture, rivals[picture.name])),
    )
    talks = write_lines(
        output / "conversations.jsonl",
        (conversation(picture, rivals[picture.name]) for picture in chosen),
    )
    size = sum(path.stat().st_size for path in images.iterdir())
    return (
        f"{len(chosen)} pictures ({size / 1e6:.1f} MB), {len(coco['annotations'])} captions, {asked} "
        f"questions, {talks} talks of two turns: {len(chosen) + asked + 2 * talks} examples"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--names", type=Path, required=True, help="folder with pairs.jsonl")
    parser.add_argument(
        "--font", type=Path, required=True, help="NotoColorEmoji.ttf of Debian's fonts-noto-color-emoji"
    )
    parser.add_argument("--output", type=Path, required=True, help="pipelines/sample")
    arguments = parser.parse_args()
    print(build(arguments.names / "pairs.jsonl", arguments.font, arguments.output))


if __name__ == "__main__":
    main()
