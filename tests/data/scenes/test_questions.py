"""What words give away of answers, and of which caption is the false one: next to nothing.

`pytest -s` on this file prints the figures.
"""

import math
from collections import Counter, defaultdict
from itertools import pairwise

import pytest

from amodal.data.scenes import CHANCE, CHANGES, QUESTION_KINDS, Scenes

QUESTIONS = 5000
Asked = list[tuple[list[str], str]]


@pytest.fixture(scope="module")
def asked() -> dict[str, Asked]:
    """kind -> (words, answer) of the first 5,000 questions; which of two is answered by "first" or "second"."""
    found: dict[str, Asked] = defaultdict(list)
    number = 0
    for scene in Scenes("train", seed=11, size=64).stream():
        for question in scene.questions:
            number += 1
            answer = question.answer
            if question.kind == "which is left of":
                answer = ("first", "second")[int(question.asked.answer)]
            found[question.kind].append((in_words(question.text), answer))
        if number >= QUESTIONS:
            return found
    raise AssertionError


def test_the_kind_alone_gives_nothing_away(asked: dict[str, Asked]) -> None:
    assert set(asked) == set(QUESTION_KINDS)
    for kind, questions in asked.items():
        best = Counter(answer for _, answer in questions).most_common(1)[0][1] / len(questions)
        assert len({answer for _, answer in questions}) == round(1 / CHANCE[kind])
        assert best < CHANCE[kind] + 3.5 * error(kind, len(questions)), (kind, best)


def test_the_words_give_nothing_away(asked: dict[str, Asked]) -> None:
    for kind, questions in asked.items():
        half = len(questions) // 2
        right = naive_bayes(questions[:half], questions[half:])
        print(f"{kind}: {right:.3f} of {len(questions) - half} guessed, chance {CHANCE[kind]:.3f}")
        assert right < CHANCE[kind] + 0.02 + 3 * error(kind, half), (kind, right)


def test_words_do_not_tell_the_false_caption() -> None:
    """Of each pair of a true and a false caption the one that a guess from words and pairs of words finds likelier."""
    pairs: dict[str, list[tuple[list[str], list[str]]]] = defaultdict(list)
    for scene in Scenes("train", seed=12, size=64, count=1500).stream():
        for false in scene.falsehoods:
            pairs[false.change].append((in_words(scene.captions[false.of].text), in_words(false.caption.text)))
    assert set(pairs) == set(CHANGES)
    for change, told in pairs.items():
        half = len(told) // 2
        right = told_apart(told[:half], told[half:])
        print(f"{change}: {right:.3f} of {len(told) - half} pairs told apart, chance 0.500")
        assert right < 0.5 + 0.02 + 3 * 0.5 / math.sqrt(len(told) - half), (change, right)


def test_the_judge_of_pairs_finds_what_is_given_away() -> None:
    assert told_apart([(["one"], ["two"])] * 20, [(["one"], ["two"])] * 20) == 1


def in_words(text: str) -> list[str]:
    words = text.lower().strip("?").replace(",", "").split()
    return words + [f"{one} {other}" for one, other in pairwise(words)]


def told_apart(learnt: list[tuple[list[str], list[str]]], judged: list[tuple[list[str], list[str]]]) -> float:
    """The share of pairs whose true caption has the higher naive Bayes score; half for a tie."""
    seen = [Counter(word for pair in learnt for word in set(pair[side])) for side in (0, 1)]

    def score(words: list[str]) -> float:
        return sum(math.log((seen[0][word] + 1) / (seen[1][word] + 1)) for word in set(words))

    gaps = [score(true) - score(false) for true, false in judged]
    return sum(1.0 if gap > 1e-9 else 0.5 if gap > -1e-9 else 0.0 for gap in gaps) / len(gaps)


def test_the_guesser_finds_what_is_given_away() -> None:
    """A leak it must see: what is asked with "lion" is always answered yes."""
    leaky: Asked = [(["is", "a", word], "yes" if word == "lion" else "no") for word in ("lion", "fox", "hat") * 20]
    assert naive_bayes(leaky, leaky) == 1


def error(kind: str, number: int) -> float:
    return math.sqrt(CHANCE[kind] * (1 - CHANCE[kind]) / number)


def naive_bayes(learnt: Asked, judged: Asked) -> float:
    """The share of `judged` that a naive Bayes guess from words and pairs of words gets right."""
    answers = Counter(answer for _, answer in learnt)
    seen = {answer: Counter(word for words, a in learnt if a == answer for word in set(words)) for answer in answers}

    def score(words: list[str], answer: str) -> float:
        chances = [(seen[answer][word] + 1) / (answers[answer] + 2) for word in set(words)]
        return math.log(answers[answer]) + sum(math.log(chance) for chance in chances)

    guesses = (max(answers, key=lambda answer, words=words: score(words, answer)) for words, _ in judged)
    return sum(guess == answer for guess, (_, answer) in zip(guesses, judged, strict=True)) / len(judged)
