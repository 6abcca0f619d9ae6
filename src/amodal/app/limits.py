"""What one request and all of them together may ask for; what is beyond is refused with a message that says so."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from amodal.core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """bytes: of the encoded pictures of a request together; pixels: of a picture; pictures, texts (terms, labels):
    of a request; characters: of a text; seconds: until a request is answered; results: of a page of a search, and ten
    times as many in all; requests: worked on at once; connections: open at once.
    """

    bytes: int = 32 << 20
    pixels: int = 50_000_000
    pictures: int = 16
    texts: int = 256
    characters: int = 2_000
    seconds: int = 30
    results: int = 1_000
    requests: int = 256
    connections: int = 512

    @property
    def body(self) -> int:
        """Bytes of a request's body: pictures in base64, and texts."""
        return self.bytes * 4 // 3 + 8 * self.characters * self.texts + 65_536

    @property
    def bodies(self) -> int:
        """Bytes of the bodies of all requests that are worked on."""
        return 8 * self.body

    def changed(self, settings: Iterable[str]) -> "Limits":
        """With other values, each as `name=value`. Raises UsageError."""
        known, values = [each.name for each in fields(self)], dict[str, int]()
        for setting in settings:
            name, _, value = setting.partition("=")
            if name not in known or not value.isdecimal() or int(value) < 1:
                raise UsageError(
                    f"{setting!r} is no limit; give name=value with a whole number above 0 and one of the names "
                    f"{', '.join(known)}"
                )
            values[name] = int(value)
        return replace(self, **values)
