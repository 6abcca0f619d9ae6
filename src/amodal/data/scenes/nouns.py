"""Which bundled emoji are things that can be counted, and how English names them: a, two, none of a name's words lost.

Left out: flags, symbols, people and faces of people; names of stuff ("butter"), of several things ("grapes"), of scenes
("sunset"), proper names, and names too long to be said.
"""

import re

GROUPS = ("Animals & Nature", "Food & Drink", "Travel & Places", "Activities", "Objects")
_SUBGROUPS_LEFT_OUT = ("time", "place-map", "award-medal")
_LEFT_OUT = """
    paw prints; coral; leaf fluttering in wind; grapes; cherries; blueberries; leafy green; garlic; peanuts; beans;
    bread; baguette bread; flatbread; stuffed flatbread; pancakes; meat on bone; bacon; french fries; cooking; popcorn;
    butter; salt; canned food; cooked rice; curry rice; spaghetti; oden; sushi; shaved ice; soft ice cream; ice cream;
    ice; sake; custard; dango; fondue; clinking beer mugs; clinking glasses; pouring liquid; bubble tea; mate; falafel;
    chopsticks; camping; building construction; wood; houses; foggy; cityscape; cityscape at dusk; night with stars;
    sunrise; sunrise over mountains; sunset; bridge at night; hot springs; station; light rail; metro; motorway;
    railway track; construction; airplane departure; airplane arrival; luggage; high voltage; fog; fire; milky way;
    sparkles; fireworks; moon viewing ceremony; admission tickets; tennis; bowling; field hockey; ice hockey; lacrosse;
    ping pong; badminton; skis; nesting dolls; spade suit; heart suit; diamond suit; club suit; performing arts;
    flower playing cards; thread; yarn; glasses; sunglasses; goggles; jeans; gloves; socks; shorts; briefs;
    woman’s clothes; shopping bags; ballet shoes; prayer beads; muted speaker; speaker low volume; musical notes;
    speaker medium volume; speaker high volume; control knobs; maracas; film frames; books; bookmark tabs; wedding;
    money with wings; card index dividers; linked paperclips; scissors; locked; unlocked; locked with pen; soap;
    locked with key; crossed swords; chains; bubbles; dna; link; chart increasing; chart decreasing; page facing up;
    magnifying glass tilted left; chart increasing with yen; fork with knife; new moon; mount fuji; kaaba; hyacinth;
    broccoli; desert; beach with umbrella; white cane; water wave; wind face; cyclone; low battery;
    bell with slash; mobile phone with arrow; envelope with arrow; camera with flash; umbrella on ground; microbe;
    umbrella with rain drops; tropical drink; hot beverage; cricket game; level slider; green salad; closed umbrella;
    open file folder; drop of blood; american football; boxing glove; bikini; flat shoe; sponge; one-piece swimsuit;
    hamsa; moai; snowman without snow; diya lamp; carp streamer; tanabata tree; pine decoration; cut of meat;
    martial arts uniform; bow and arrow; national park; electric plug; x-ray; dvd; e-mail; stop sign;
    placard; bus stop; fish cake with swirl; amphora"""
_NAMES_LEFT_OUT = frozenset(" ".join(_LEFT_OUT.split()).split("; "))
_NOT_A_NAME = re.compile(r"[A-Z0-9:]|o’clock| and |oncoming|incoming|facing|behind")
_AFTER_THE_HEAD = re.compile(r" (?:of|with|without|on|in) ")
_IRREGULAR = {
    **{word: word for word in ("fish", "deer", "moose", "bison", "squid", "shrimp", "aircraft", "salmon")},
    "mouse": "mice", "ox": "oxen", "goose": "geese", "wolf": "wolves", "leaf": "leaves", "knife": "knives",
    "sheaf": "sheaves", "snowman": "snowmen", "scarf": "scarves", "die": "dice", "tomato": "tomatoes",
    "potato": "potatoes", "mango": "mangoes", "volcano": "volcanoes", "tornado": "tornadoes", "buffalo": "buffaloes",
    "mosquito": "mosquitoes",
}  # fmt: skip
_CONSONANT_SOUND = re.compile(r"(?:uni|use|ut|eu|ewe|one)")
COLOUR_WORDS = frozenset(
    ("red", "orange", "yellow", "green", "blue", "purple", "pink", "black", "white", "brown", "grey", "gold", "golden")
)


def is_countable(name: str, group: str, subgroup: str) -> bool:
    """Whether an emoji of this English name is one thing that a scene may hold several of."""
    if group not in GROUPS or subgroup in _SUBGROUPS_LEFT_OUT or name in _NAMES_LEFT_OUT:
        return False
    return not _NOT_A_NAME.search(name) and len(name.split()) <= 4


def plural(name: str) -> str:
    """ "apple" -> "apples", "glass of milk" -> "glasses of milk", "computer mouse" -> "computer mice"."""
    cut = _AFTER_THE_HEAD.search(name)
    head, rest = (name[: cut.start()], name[cut.start() :]) if cut else (name, "")
    before, _, word = head.rpartition(" ")
    return f"{before} {_plural_word(word)}".lstrip() + rest


def article(words: str) -> str:
    """ "a" or "an", as the words after it sound."""
    return "an" if words[0] in "aeiou" and not _CONSONANT_SOUND.match(words) else "a"


def _plural_word(word: str) -> str:
    for end, several in _IRREGULAR.items():
        if word == end or (end in ("fish", "mouse", "knife") and word.endswith(end)):
            return word[: len(word) - len(end)] + several
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"
