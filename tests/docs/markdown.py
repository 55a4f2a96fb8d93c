"""Reads Markdown pages: fenced blocks with the marks above them, links, and the anchors of headings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>```+)(?P<language>[^\n`]*)$")
_MARK = re.compile(r"^<!-- (run|run: output|run: server|file) -->$")
_LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.*?)(?: +#+)?$")


class Block(Struct, frozen=True):
    """A fenced block. `mark` is the comment on the line before it, or empty."""

    page: str
    line: int
    language: str
    text: str
    mark: str = ""

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def title(self) -> str:
        """The file that the block shows, from the comment in its first line; empty if there is none."""
        found = re.match(r"# (\S+\.\w+)(?:$|[:,\s])", self.text)
        return found[1] if found else ""


class Link(Struct, frozen=True):
    """A link of a page, without its text."""

    page: str
    line: int
    target: str


class Page(Struct, frozen=True):
    """A Markdown page. `name` is its path from the top of the repository."""

    name: str
    text: str

    @staticmethod
    def read(file: Path, top: Path) -> Page:
        return Page(file.relative_to(top).as_posix(), file.read_text("utf-8"))

    @property
    def blocks(self) -> tuple[Block, ...]:
        return tuple(self._blocks())

    def _blocks(self) -> Iterator[Block]:
        lines = self.text.splitlines()
        number = 0
        while number < len(lines):
            opening = _FENCE.match(lines[number])
            if opening is None:
                number += 1
                continue
            start, fence, indent = number, opening["fence"], len(opening["indent"])
            number += 1
            while number < len(lines) and lines[number].strip() != fence:
                number += 1
            if number == len(lines):
                raise ValueError(f"{self.name}:{start + 1}: the block is not closed")
            mark = _MARK.match(lines[start - 1].strip()) if start else None
            inner = [line[indent:] if not line[:indent].strip() else line for line in lines[start + 1 : number]]
            text = "".join(f"{line}\n" for line in inner)
            yield Block(self.name, start + 1, opening["language"].strip(), text, mark[1] if mark else "")
            number += 1

    @property
    def prose(self) -> list[tuple[int, str]]:
        """The lines outside of fenced blocks, each with its number."""
        hidden: set[int] = set()
        for block in self.blocks:
            hidden |= set(range(block.line, block.line + block.text.count("\n") + 2))
        return [(n, line) for n, line in enumerate(self.text.splitlines(), 1) if n not in hidden]

    @property
    def links(self) -> tuple[Link, ...]:
        found = []
        for number, line in self.prose:
            bare = re.sub(r"`[^`]*`", "``", line)
            found += [Link(self.name, number, target) for target in _LINK.findall(bare)]
        return tuple(found)

    @property
    def anchors(self) -> frozenset[str]:
        """The anchors of the headings, as GitHub forms them, and those that are written as HTML."""
        seen: Counter[str] = Counter()
        anchors = set()
        for _, line in self.prose:
            anchors |= set(re.findall(r'<a (?:id|name)="([^"]+)"', line))
            heading = _HEADING.match(line)
            if heading is None:
                continue
            slug = slug_of(heading[1])
            anchors.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
        return frozenset(anchors)


def slug_of(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def broken_links(pages: list[Page], top: Path) -> list[str]:
    """Every relative link that leads to no file, and every anchor that its page does not have."""
    top = top.resolve()
    by_name = {page.name: page for page in pages}
    wrong = []
    for page in pages:
        for link in page.links:
            if re.match(r"[a-z][a-z0-9+.-]*:", link.target):
                continue
            path, _, anchor = link.target.partition("#")
            file = ((top / page.name).parent / path if path else top / page.name).resolve()
            name = file.relative_to(top).as_posix() if file.is_relative_to(top) else ""
            place = f"{link.page}:{link.line}: {link.target}"
            if name not in by_name and not (name and file.exists()):
                wrong.append(f"{place}: no such file")
            elif anchor and name.endswith(".md"):
                linked = by_name.get(name) or Page.read(file, top)
                if anchor not in linked.anchors:
                    wrong.append(f"{place}: {name} has no such heading")
    return wrong
