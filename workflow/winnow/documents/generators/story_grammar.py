"""Small stories with three required words, features, prompt and summary, by a seeded grammar.

The columns of skeskinen/TinyStories-GPT4 (none of its text): `story`, `summary`, `source` ("grammar"),
`prompt`, `words` (the verb, the noun and the adjective that the story must hold, and holds), `features`
(of FEATURES; each is really in the story: `Dialogue` has quoted speech, `Foreshadowing` a hint at the start
of what happens later, and so on). Stories have 80 to 180 words. No story occurs twice.

`minimal_pairs` makes pairs of sentences of the same vocabulary, of which one is grammatical.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from winnow.documents.generators.dice import Dice
from winnow.stage import InputError

DOCUMENTS, MOST = 3000, 100_000
FEATURES = ("BadEnding", "Conflict", "Dialogue", "Foreshadowing", "MoralValue", "Twist")
SHORTEST, LONGEST = 80, 180


@dataclass(frozen=True)
class Child:
    name: str
    kind: str
    he: str

    @property
    def his(self) -> str:
        return {"he": "his", "she": "her"}[self.he]

    @property
    def him(self) -> str:
        return {"he": "him", "she": "her"}[self.he]

    @property
    def himself(self) -> str:
        return self.him + "self"


@dataclass(frozen=True)
class Verb:
    """base, past, -s form; what it is done to is always the noun."""

    base: str
    past: str

    @property
    def third(self) -> str:
        if self.base.endswith(("sh", "ch", "s", "x")):
            return self.base + "es"
        if self.base.endswith("y") and self.base[-2] not in "aeiou":
            return self.base[:-1] + "ies"
        return self.base + "s"


BOYS = [
    "Tom",
    "Ben",
    "Max",
    "Sam",
    "Leo",
    "Jack",
    "Tim",
    "Finn",
    "Noah",
    "Oscar",
    "Hugo",
    "Omar",
    "Ravi",
    "Kofi",
    "Milo",
    "Adam",
]
GIRLS = [
    "Lily",
    "Mia",
    "Anna",
    "Sue",
    "Lucy",
    "Emma",
    "Zoe",
    "Ella",
    "Nora",
    "Ivy",
    "Amy",
    "Maya",
    "Aisha",
    "Yuki",
    "Rosa",
    "Ruth",
]
PLACES = [
    "in the garden", "in the park", "in the forest", "in the village", "on the farm", "on the beach", "in the town",
    "in the meadow", "in the school yard", "at the market", "in the valley", "at the harbour",
]  # fmt: skip
NOUNS = [
    "ball", "kite", "boat", "drum", "lamp", "basket", "bell", "box", "book", "hat", "key", "puppet", "mirror",
    "blanket", "wagon", "whistle", "map", "clock", "shell", "stone", "flute", "robot", "cup", "scarf", "ribbon",
    "bucket", "ladder", "doll", "coin", "feather",
]  # fmt: skip
ADJECTIVES = [
    "red", "tiny", "shiny", "old", "heavy", "soft", "blue", "round", "noisy", "broken", "warm", "strange", "pretty",
    "dusty", "bright", "smooth", "golden", "wooden", "striped", "green", "crooked", "light", "silver", "muddy",
    "empty", "funny",
]  # fmt: skip
VERBS = [
    Verb("find", "found"), Verb("carry", "carried"), Verb("hide", "hid"), Verb("paint", "painted"),
    Verb("wash", "washed"), Verb("share", "shared"), Verb("lift", "lifted"), Verb("borrow", "borrowed"),
    Verb("fix", "fixed"), Verb("hold", "held"), Verb("bring", "brought"), Verb("polish", "polished"),
    Verb("wrap", "wrapped"), Verb("show", "showed"), Verb("draw", "drew"), Verb("watch", "watched"),
    Verb("hug", "hugged"), Verb("clean", "cleaned"), Verb("shake", "shook"), Verb("keep", "kept"),
]  # fmt: skip
MOODS = ["happy", "curious", "cheerful", "brave", "quiet", "gentle", "clever", "shy", "kind", "busy"]
FRIENDS = ["dog", "cat", "rabbit", "bird", "frog", "mouse", "duck", "pony", "fox", "hedgehog"]
WEATHER = ["sunny", "windy", "cloudy", "cold", "rainy", "foggy", "hot", "snowy"]
TREATS = ["cake", "soup", "bread", "apples", "cookies", "berries", "pancakes", "jam"]
ADULTS = ["mother", "father", "grandmother", "grandfather", "aunt", "uncle"]
MORALS = [
    "it is good to share", "it is best to tell the truth", "a friend is worth more than a thing",
    "it pays to be patient", "saying sorry can mend a quarrel", "helping others makes everyone glad",
    "it is wise to ask before you take", "trying again is never a waste",
]  # fmt: skip


class _Dice(Dice):
    """Choices of children, too."""

    def child(self) -> Child:
        return Child(self.of(BOYS), "boy", "he") if self.below(2) else Child(self.of(GIRLS), "girl", "she")

    def two_children(self) -> tuple[Child, Child]:
        first, second = self.child(), self.child()
        while second.name == first.name:
            second = self.child()
        return first, second


def _a(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def _story(dice: _Dice) -> dict[str, object]:
    """One story as a record of the six columns."""
    a, b = dice.two_children()
    verb, noun, adjective = dice.of(VERBS), dice.of(NOUNS), dice.of(ADJECTIVES)
    there, weather, mood, animal = dice.of(PLACES), dice.of(WEATHER), dice.of(MOODS), dice.of(FRIENDS)
    adult, treat, moral = dice.of(ADULTS), dice.of(TREATS), dice.of(MORALS)
    features = {name for name in FEATURES if dice.below(5) < 2}
    if "BadEnding" in features:
        features.discard("Twist")
    place = there.split(" the ")[1]
    thing, many, animals = f"{adjective} {noun}", _plural(noun), _plural(animal)
    He, his = a.he.capitalize(), a.his

    opening = [
        dice.of(
            [
                f"Once upon a time, there was a {mood} {a.kind} named {a.name}.",
                f"Near a small {place}, there lived a {mood} {a.kind} called {a.name}.",
                f"One {weather} morning, a {mood} {a.kind} named {a.name} woke up early.",
                f"{a.name} was a {mood} {a.kind} who loved to play outside.",
            ]
        ),
        dice.of(
            [
                f"{He} lived near the {place} with {his} {adult} and {_a(animal)}.",
                f"{He} liked to walk to the {place} with {his} {animal}.",
                f"Every day, {a.he} went to the {place} and looked for something new.",
                f"{He} had {_a(animal)} that followed {a.him} everywhere.",
            ]
        ),
    ]
    meeting = dice.of(
        [
            f"One {weather} day, {a.name} saw {_a(thing)} under a tree.",
            f"That day, {his} {adult} gave {a.him} {_a(thing)}.",
            f"On the way, {a.he} came across {_a(thing)} in the grass.",
            f"Behind the house, there was {_a(thing)} that nobody used.",
        ]
    )
    wish = dice.of(
        [
            f"{a.name} wanted to {verb.base} the {noun} more than anything.",
            f"{He} thought it would be fun to {verb.base} the {noun}.",
            f"{He} asked if {a.he} could {verb.base} the {noun}, and {his} {adult} nodded.",
            f"{He} decided to {verb.base} the {noun} before lunch.",
        ]
    )
    middle = [meeting, wish]
    if "Foreshadowing" in features:
        opening.append(
            dice.of(
                [
                    f"{a.name} did not notice the dark clouds over the {place} yet.",
                    f"A cold wind blew over the {place}, as if it knew what was coming.",
                    f"Far away, thunder rolled, and the {animal} looked up at the sky.",
                ]
            )
        )
    middle.append(
        dice.of(
            [
                f"{his.capitalize()} friend {b.name} came along, and the two of them smiled.",
                f"{b.name} came to the {place}, too, and sat down next to {a.him}.",
                f"Soon {b.name} joined in, and they played until noon.",
            ]
        )
    )
    if "Dialogue" in features:
        middle += dice.of(
            [
                [f'"What {_a(thing)}!" said {b.name}. "Do you want to play with me?"',
                 f'"Yes, please," said {a.name}, and {a.he} smiled.'],
                [f'"Hello, {a.name}," said {b.name}. "Where did you get that {noun}?"',
                 f'"It is a secret," said {a.name}, "but I will tell you."'],
                [f'"Be careful with the {noun}," said {b.name}. "These {many} are not strong."',
                 f'"I will," said {a.name}, and {a.he} meant it.'],
                [f'"May I help you?" asked {b.name}.',
                 f'"Of course," said {a.name}. "Two are better than one."'],
            ]
        )  # fmt: skip
    else:
        middle.append(
            dice.of(
                [
                    f"There were two {many} {there}, but only this {noun} was {adjective}.",
                    f"Those {many} that the {animals} had were not so {adjective}.",
                    f"Every day, the {animals} {dice.of(VERBS).base} a few {many}, and {b.name} {dice.of(VERBS).third} one.",
                    f"The {animals} {there} are happy, and the {animal} that {a.name} has is happy, too.",
                ]
            )
        )
    middle.append(f"Together they {verb.past} the {noun} and laughed a lot.")
    if "Conflict" in features:
        middle += dice.of(
            [
                [f"But then both children wanted the {noun} at the same time.",
                 f"{a.name} pulled on one side, {b.name} pulled on the other, and they began to shout."],
                [f"Then {b.name} took the {noun} and ran away with it.",
                 f"{a.name} was angry and ran after {b.him}, and they quarrelled for a long time."],
                [f"But {b.name} said that the {noun} was ugly, and {a.name} was hurt.",
                 "They turned their backs and did not speak to each other."],
            ]
        )  # fmt: skip
    if "Foreshadowing" in features:
        middle.append(
            dice.of(
                [
                    "Suddenly a storm came, just as the sky had promised, and they ran under a roof.",
                    "Then the rain fell hard, as the wind had warned, and everything got wet.",
                ]
            )
        )
    if not features & {"Conflict", "Foreshadowing"}:
        middle.append(
            dice.of(
                [
                    f"When they were hungry, they ate {treat} and gave some to the {animal}.",
                    f"The {animal} jumped around them and made funny sounds.",
                    f"They counted the birds {there} and sang a song about {treat}.",
                ]
            )
        )
    twist = dice.of(
        [
            f"But what a surprise: the {noun} was not a {noun} at all! It was a gift box, and inside was {treat}.",
            f"Then something strange happened: the {noun} began to talk, and it was really a lost {animal}!",
            f"In the end, they learned that the {noun} had belonged to {b.name} all along!",
        ]
    )
    if "BadEnding" in features:
        ending = dice.of(
            [
                [f"Sadly, the {noun} fell into the river and was gone for ever.",
                 f"{a.name} went home and cried, and nobody could comfort {a.him}."],
                [f"But the {noun} broke into many pieces, and nobody could mend it.",
                 f"{a.name} and {b.name} were sad, and they never played {there} again."],
                [f"In the evening, the {noun} was lost, and they could not find it anywhere.",
                 f"{a.name} went to bed without a word and felt very lonely."],
            ]
        )  # fmt: skip
        end = f"the {noun} is lost or broken and {a.name} is sad"
    else:
        ending = [twist] if "Twist" in features else []
        peace = [f"After a while, they both said sorry, and {a.name} hugged {b.name}."]
        ending += (peace if "Conflict" in features else []) + dice.of(
            [
                [f"At sunset, they went home, and {his} {adult} made {treat} for everyone.",
                 f"{a.name} fell asleep with a smile on {his} face."],
                [f"From that day on, {a.name} and {b.name} were best friends.",
                 f"They met {there} every week and were never bored."],
                [f"{a.name} told {his} {adult} all about it and was very proud of {a.himself}.",
                 f"It was the best day of the year, and even the {animal} was happy."],
            ]
        )  # fmt: skip
        end = "they find out something that nobody expected" if "Twist" in features else "all ends well"
    if "MoralValue" in features:
        ending.append(f"And {a.name} learned that {moral}.")
    story = " ".join(opening) + "\n" + " ".join(middle) + "\n" + " ".join(ending)
    summary = (
        f"{a.name}, a {mood} {a.kind}, and {b.name} {verb.past} {_a(thing)} near the {place}, and {end}."
    )
    words = [verb.base, noun, adjective]
    listed = sorted(features)
    prompt = (
        "Write a short story (3-5 paragraphs) which only uses very simple words that a 3 year old child would "
        f"understand. The story should use the verb '{verb.base}', the noun '{noun}' and the adjective "
        f"'{adjective}'."
    )
    if listed:
        prompt += f" The story should have the following features: {', '.join(listed)}."
    return {
        "story": story, "summary": summary, "source": "grammar", "prompt": prompt, "words": words, "features": listed,
    }  # fmt: skip


def table(documents: int, seed: int) -> pa.Table:
    """`documents` distinct stories; a larger number starts with the same ones.

    Raises InputError if the grammar does not make that many.
    """
    dice = _Dice(seed)
    stories: dict[str, dict[str, object]] = {}
    for _ in range(20 * documents + 1000):
        record = _story(dice)
        if SHORTEST <= len(str(record["story"]).split()) <= LONGEST:
            stories.setdefault(str(record["story"]), record)
        if len(stories) == documents:
            break
    else:
        raise InputError(f"source.documents: {documents} is more than the story grammar can make")
    text, texts = pa.string(), pa.list_(pa.string())
    schema = pa.schema(
        [
            ("story", text),
            ("summary", text),
            ("source", text),
            ("prompt", text),
            ("words", texts),
            ("features", texts),
        ]
    )
    return pa.Table.from_pylist(list(stories.values()), schema=schema)


# ---------------------------------------------------------------- minimal pairs

PHENOMENA = (
    "determiner-noun", "subject-verb-agreement", "tense", "reflexive", "word-order", "pronoun-case", "article",
    "agreement-across-relative-clause",
)  # fmt: skip


def _plural(noun: str) -> str:
    if noun in ("mouse", "scarf"):
        return {"mouse": "mice", "scarf": "scarves"}[noun]
    if noun.endswith(("x", "ch", "sh", "s")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def _pair(dice: _Dice, phenomenon: str) -> tuple[str, str]:
    a, b = dice.two_children()
    verb, noun, adjective, there = dice.of(VERBS), dice.of(NOUNS), dice.of(ADJECTIVES), dice.of(PLACES)
    many, animal = _plural(noun), dice.of(FRIENDS)
    animals = _plural(animal)
    one = bool(dice.below(2))
    match phenomenon:
        case "determiner-noun":
            forms = dice.of([("this", "these"), ("that", "those"), (_a(adjective).split()[0], "two")])
            sentence = f"{a.name} {verb.past} _ {adjective} {noun if one else many} {there}."
        case "subject-verb-agreement":
            forms = (verb.third, verb.base)
            sentence = f"Every day, {a.name if one else f'the {animals}'} _ the {adjective} {noun}."
        case "agreement-across-relative-clause":
            forms = ("is", "are")
            subject = f"{noun} that the {animals}" if one else f"{many} that the {animal}"
            sentence = f"The {subject} saw {there} _ {adjective}."
        case "tense":
            forms = (verb.past, verb.third) if one else (verb.past, verb.base)
            sentence = (
                f"Yesterday, {a.name} _ the {adjective} {noun}."
                if one
                else f"{a.name} wanted to _ the {adjective} {noun}."
            )
        case "reflexive":
            forms = ("himself", "herself")
            one = a.he == "he"
            rest = dice.of(
                ["was very proud of", "looked at", "made some cake for", "laughed at", "talked to"]
            )
            sentence = f"{a.name} {verb.past} the {noun} and {rest} _."
        case "word-order":
            forms = (f"the {adjective}", f"{adjective} the")
            sentence = f"{a.name if one else f'{a.name} and {b.name}'} {verb.past} _ {noun} {there}."
            one = True
        case "pronoun-case":
            forms = (a.he, a.him)
            sentence = (
                f"Then _ {verb.past} the {adjective} {noun}."
                if one
                else f"{b.name} gave the {adjective} {noun} to _."
            )
        case _:
            forms = ("a", "an")
            one = _a(adjective).startswith("a ")
            sentence = f"{a.name} {verb.past} _ {adjective} {noun} {there}."
    right, wrong = forms if one else forms[::-1]
    return sentence.replace("_", right), sentence.replace("_", wrong)


def minimal_pairs(items: int, seed: int) -> list[tuple[str, str, str]]:
    """`items` distinct pairs (good, bad, phenomenon), the phenomena of PHENOMENA in turn.

    The two sentences differ in one place only. Raises InputError if there are not that many.
    """
    dice = _Dice(seed)
    pairs: dict[tuple[str, str], str] = {}
    for _ in range(50 * items + 1000):
        if len(pairs) == items:
            break
        phenomenon = PHENOMENA[len(pairs) % len(PHENOMENA)]
        good, bad = _pair(dice, phenomenon)
        if good != bad:
            pairs.setdefault((good, bad), phenomenon)
    if len(pairs) < items:
        raise InputError(f"items: {items} is more minimal pairs than the story grammar can make")
    return [(good, bad, phenomenon) for (good, bad), phenomenon in pairs.items()]
