"""ImageNet: folders named by WordNet synset."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from amodal.core.errors import DataError
from amodal.data.folders import SPLIT_FOLDERS, read_class_folders, subfolders
from amodal.data.rows import MAX_SKIPPED, Table
from amodal.data.tables import read_text

_SYNSET = re.compile(r"n\d{8}")


def read_imagenet(folder: Path, *, max_skipped: float = MAX_SKIPPED) -> Table:
    """Folders named by WordNet synset (n01440764), alone or under train and val (Russakovsky et al., 2015).

    Class names are the first lemma in LOC_synset_mapping.txt, where it lies in the folder or one above, else in
    timm's list; classes with the same first lemma are told apart by their other lemmas, or else by the synset.
    """
    found = {path.name for root in (folder, *_splits(folder)) for path in subfolders(root)}
    lemmas = _lemmas(folder, {name for name in found if _SYNSET.fullmatch(name)})
    return read_class_folders(folder, max_skipped=max_skipped, names=_class_names(lemmas))


def _splits(folder: Path) -> list[Path]:
    return [path for path in subfolders(folder) if path.name.lower() in SPLIT_FOLDERS]


def _lemmas(folder: Path, synsets: set[str]) -> dict[str, str]:
    """synset -> "tench, Tinca tinca"."""
    for path in (folder / "LOC_synset_mapping.txt", folder.parent / "LOC_synset_mapping.txt"):
        if path.is_file():
            lines = (line.split(maxsplit=1) for line in read_text(path).splitlines())
            known = {words[0]: words[1].strip() for words in lines if len(words) == 2}
            break
    else:
        from timm.data.imagenet_info import ImageNetInfo

        known: dict[str, str] = {}
        for subset in ("imagenet-1k", "imagenet-22k"):
            info = ImageNetInfo(subset)
            known |= {name: info.label_name_to_description(name) for name in synsets & set(info.label_names())}
    unknown = sorted(synsets - known.keys())
    if unknown:
        raise DataError(f"{folder}: no class name is known for {unknown[0]}; put LOC_synset_mapping.txt beside it")
    return {name: known[name] for name in synsets}


def _class_names(lemmas: Mapping[str, str]) -> dict[str, str]:
    """synset -> a name that no other of these classes has."""
    first = {synset: words.split(",")[0].strip() for synset, words in lemmas.items()}
    count, whole = Counter(first.values()), Counter(lemmas.values())
    names: dict[str, str] = {}
    for synset, name in first.items():
        if count[name] > 1:
            name = lemmas[synset] if whole[lemmas[synset]] == 1 else f"{name} ({synset})"
        names[synset] = name
    return names


def has_synsets(folder: Path) -> bool:
    """Whether `folder`, or its folder of a split, holds folders named by synset."""
    return any(_SYNSET.fullmatch(path.name) for root in (folder, *_splits(folder)) for path in subfolders(root))
