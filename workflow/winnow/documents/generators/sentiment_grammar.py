"""Film-review phrases with a sentiment label, by a seeded grammar (the shape of SST-2, none of its text).

Columns: `sentence`, `label` (0 negative, 1 positive). Phrases speak of parts of a film, with plain praise and
blame, negation ("not a dull moment"), contrast ("X, but Y": what follows `but` decides), hedges, comparisons
and wishes, so that single words do not give the label away. NOISE of 5 % of the labels are flipped, so no
classifier can be right on more than about 95 %. No sentence occurs twice, whatever its label.
"""

from __future__ import annotations

import pyarrow as pa

from winnow.documents.generators.dice import Dice
from winnow.stage import InputError

DOCUMENTS, MOST = 4000, 20_000
NOISE = 20  # one label in NOISE is flipped

ASPECTS = {
    "the plot": (
        "gripping inventive surprising elegant touching clever satisfying taut",
        "predictable thin muddled contrived tedious implausible threadbare leaden",
    ),
    "the acting": (
        "superb heartfelt nuanced magnetic convincing effortless fearless luminous",
        "wooden stiff lifeless hammy unconvincing flat overwrought listless",
    ),
    "the dialogue": (
        "witty sharp crackling funny truthful playful quotable tender",
        "clumsy stilted witless flat cringeworthy lazy repetitive hollow",
    ),
    "the direction": (
        "assured imaginative graceful bold confident precise daring subtle",
        "aimless clumsy pedestrian timid confused heavy-handed slack careless",
    ),
    "the score": (
        "haunting gorgeous stirring lovely memorable delicate thrilling rich",
        "grating bombastic forgettable shrill intrusive monotonous syrupy drab",
    ),
    "the camerawork": (
        "stunning fluid luminous ravishing inventive breathtaking crisp painterly",
        "shaky murky ugly nauseating drab amateurish distracting dim",
    ),
    "the pacing": (
        "brisk lively perfect exhilarating confident nimble measured breezy",
        "sluggish glacial uneven plodding exhausting erratic lethargic interminable",
    ),
    "the ending": (
        "moving earned powerful cathartic unforgettable graceful uplifting perfect",
        "rushed abrupt silly unearned baffling preachy limp maddening",
    ),
    "the humour": (
        "delightful dry infectious sly hilarious warm irreverent charming",
        "crude stale forced juvenile unfunny mean-spirited tired desperate",
    ),
    "the story": (
        "absorbing enchanting rewarding wise uplifting original compelling humane",
        "incoherent shallow formulaic dreary pointless bloated derivative numbing",
    ),
}
FILMS = (
    [
        "film",
        "movie",
        "picture",
        "drama",
        "comedy",
        "thriller",
        "documentary",
        "romance",
        "western",
        "musical",
        "sequel",
        "fable",
    ],
    [
        "debut",
        "satire",
        "mystery",
        "adventure",
        "biopic",
        "remake",
        "tragedy",
        "parable",
        "caper",
        "melodrama",
    ],
)
GOOD = [
    "charming",
    "moving",
    "brilliant",
    "delightful",
    "engaging",
    "intelligent",
    "refreshing",
    "exhilarating",
    "poignant",
    "wonderful",
    "captivating",
    "thoughtful",
    "entertaining",
    "remarkable",
    "spirited",
    "affecting",
    "vivid",
    "dazzling",
    "hopeful",
    "sincere",
]
BAD = [
    "dull",
    "dreadful",
    "tedious",
    "shallow",
    "pretentious",
    "clumsy",
    "forgettable",
    "mediocre",
    "annoying",
    "lifeless",
    "disappointing",
    "ugly",
    "hollow",
    "insipid",
    "incoherent",
    "stale",
    "joyless",
    "laborious",
    "bland",
    "cynical",
]
DEGREES = ["", "very ", "truly ", "often ", "consistently ", "surprisingly ", "unexpectedly ", "thoroughly "]
WHO = ["the director", "the cast", "the lead", "the screenwriter", "the young star", "the veteran actor"]
WHO += ["the ensemble", "the newcomer", "the composer", "the editor"]
DOES_WELL = [
    "never strikes a false note", "finds real warmth in small moments", "brings wit and grace to every scene",
    "makes the most of a simple idea", "keeps us guessing until the last frame", "earns every tear",
    "turns familiar ground into something new", "holds the screen with ease", "refuses to settle for clichés",
    "treats its people with respect",
]  # fmt: skip
DOES_BADLY = [
    "never finds the right tone", "wastes a promising idea", "mistakes noise for excitement",
    "runs out of ideas after ten minutes", "leaves no impression at all", "misses every chance to surprise",
    "buries the jokes under endless speeches", "settles for one cliché after another",
    "seems bored by the whole affair", "loses the thread long before the end",
]  # fmt: skip
PLAIN = (0, 0, 1, 1, 7, 8, 8, 9, 9, 15)  # forms without a turn, drawn more often
HOPE = [
    "could have been", "wants to be", "promises to be", "is sold as", "was meant to be", "tries hard to be",
]  # fmt: skip
AUDIENCE = [
    "for anyone who loves cinema", "for the whole family", "for patient viewers", "for fans of the genre",
    "from beginning to end", "on the big screen", "despite its length", "in its own quiet way", "at every turn",
    "even on a second viewing", "for all its faults", "by any measure",
]  # fmt: skip


def _sentence(dice: Dice, label: int) -> str:
    """One phrase of the wanted sentiment."""
    names = list(ASPECTS)
    first = dice.below(len(names))
    second = (first + 1 + dice.below(len(names) - 1)) % len(names)

    def word(which: int, good: int) -> str:
        return dice.of(ASPECTS[names[which]][0 if good else 1].split())

    def general(good: int) -> str:
        return dice.of(GOOD if good else BAD)

    def article(phrase: str) -> str:
        return ("an " if phrase[0] in "aeiou" else "a ") + phrase

    a, b, other = names[first], names[second], 1 - label
    film = dice.of(FILMS[0] + FILMS[1])
    degree, tail = dice.of(DEGREES), dice.of(["", "", " " + dice.of(AUDIENCE)])
    deed = dice.of(DOES_WELL if label else DOES_BADLY)
    form = dice.below(26)
    match PLAIN[form - 16] if form >= 16 else form:
        case 0:
            return f"{a} is {degree}{word(first, label)}{tail}"
        case 1:
            return f"{article(degree + general(label))} {film}{tail}"
        case 2:
            return f"{a} is {word(first, other)} , but {b} is {degree}{word(second, label)}"
        case 3:
            return f"although {a} is {degree}{word(first, other)} , {b} is {word(second, label)} and {film} fans will "\
                f"{'leave happy' if label else 'leave disappointed'}"  # fmt: skip
        case 4:
            return f"{a} is never {word(first, other)}{tail}"
        case 5:
            return f"there is nothing {general(other)} about this {film}{tail}"
        case 6:
            return f"what {HOPE[dice.below(len(HOPE))]} {article(general(other))} {film} turns out {degree}{general(label)}"
        case 7:
            return f"{dice.of(WHO)} {deed}"
        case 8:
            return f"{dice.of(WHO)} {deed} , and {a} is {word(first, label)}"
        case 9:
            return f"{a} and {b} are {degree}{word(first, label)}{tail}"
        case 10:
            return f"far from being {general(other)} , this {film} is {degree}{general(label)}{tail}"
        case 11:
            return (
                f"it is hard to {'dislike' if label else 'enjoy'} {article(film)} this {general(label)}{tail}"
            )
        case 12:
            return f"{article(general(other))} premise and {article(general(label))} {film}{tail}"
        case 13:
            return (
                f"i expected {article(general(other))} {film} and got {article(degree + general(label))} one"
            )
        case 14:
            return f"{a} , {word(first, other)} at first , grows {word(first, label)}{tail}"
        case _:
            return f"{general(label)} , {general(label)} and {'worth every minute' if label else 'best avoided'}{tail}"


def table(documents: int, seed: int) -> pa.Table:
    """`documents` distinct sentences with labels; a larger number starts with the same ones.

    Raises InputError if the grammar has not that many.
    """
    dice = Dice(seed)
    sentences: dict[str, int] = {}
    tries = 0
    while len(sentences) < documents:
        label = dice.below(2)
        sentence = _sentence(dice, label)
        flipped = dice.below(NOISE) == 0
        sentences.setdefault(sentence, 1 - label if flipped else label)
        tries += 1
        if tries > 50 * documents + 10_000:
            raise InputError(f"source.documents: {documents} is more than the sentiment grammar can make")
    return pa.table(
        {"sentence": list(sentences), "label": pa.array(list(sentences.values()), type=pa.int32())}
    )
