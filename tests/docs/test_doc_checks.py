"""The checks of the documentation find what is wrong: each is tried on a broken sample, and on a good one."""

from __future__ import annotations

from pathlib import Path

import pytest

from .commands import command_lines, simple_commands, wrong_commands
from .markdown import Block, Page, broken_links, slug_of
from .page_runner import PageRunner, is_shown
from .test_docs import config_errors, python_errors, scenario_errors


def block(text: str, language: str = "sh") -> Block:
    return Block("sample.md", 1, language, text)


# ---- links -----------------------------------------------------------------------------------------------------------

SAMPLE = """\
# Sample page

[good](other.md#a-heading), [own](#sample-page), [web](https://example.com/x), `[code](nowhere.md)`

```sh
[hidden](nowhere.md)
```
"""


def found_in(tmp_path: Path, more: str) -> list[str]:
    (tmp_path / "other.md").write_text("## A *heading*\n", "utf-8")
    return broken_links([Page("sample.md", SAMPLE + more)], tmp_path)


def test_good_links_pass(tmp_path: Path) -> None:
    assert found_in(tmp_path, "") == []


@pytest.mark.parametrize(
    ("link", "what"),
    [
        ("[x](missing.md)", "sample.md:8: missing.md: no such file"),
        ("[x](other.md#no-heading)", "sample.md:8: other.md#no-heading: other.md has no such heading"),
        ("[x](#no-heading)", "sample.md:8: #no-heading: sample.md has no such heading"),
        ("[x](../outside.md)", "sample.md:8: ../outside.md: no such file"),
    ],
)
def test_a_broken_link_is_found(tmp_path: Path, link: str, what: str) -> None:
    assert found_in(tmp_path, f"{link}\n") == [what]


def test_anchors_are_formed_as_github_does() -> None:
    assert slug_of("What `x-request-id` is, and why") == "what-x-request-id-is-and-why"
    assert slug_of("[A link](x.md) & more") == "a-link--more"
    assert Page("p.md", "# A\n## A\n").anchors == {"a", "a-1"}


def test_an_open_block_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"p\.md:2: the block is not closed"):
        _ = Page("p.md", "\n```sh\nx\n").blocks


# ---- configs, scenarios, Python --------------------------------------------------------------------------------------


def test_a_broken_config_is_found() -> None:
    assert config_errors(block("# crosswire.yaml\nbackends:\n  openai: {api_key: '${NAME}'}\n", "yaml")) == []
    (error,) = config_errors(block("# crosswire.yaml\nbackends:\n  openai: {url: 'https://h'}\n", "yaml"))
    assert error.startswith("sample.md:1:3: backends.openai.url")


def test_a_broken_scenario_is_found(tmp_path: Path) -> None:
    good = (
        "# scenarios/stories/sample.yaml\nwhy: x\nsource: x\nneeds: [text]\nask: {user: A sample.}\nsay: [{text: x}]\n"
    )
    assert scenario_errors([block(good, "yaml")], tmp_path / "good") == []
    (error,) = scenario_errors([block(good.replace("say:", "says:"), "yaml")], tmp_path / "bad")[:1]
    assert error.startswith("sample.md:1 ")


def test_broken_python_is_found() -> None:
    assert python_errors(block("await x\n", "python")) == []
    assert python_errors(block("def\n", "python")) == ["sample.md:1: line 1: invalid syntax"]


# ---- commands --------------------------------------------------------------------------------------------------------

GOOD = """\
# a comment: crosswire nonsense
KEY=x crosswire serve --port 9002 -v &      # in the background
crosswire convert --from openai-chat --to anthropic < body.json | grep -c x > lines 2>&1
echo sk-x | crosswire credentials add openai --name spare && crosswire mappings list
crosswire explain \\
  --model x --needs vision
curl -d '{"a": "
  crosswire nonsense"}' http://127.0.0.1:9001
crosswire-mock check scenarios; ./run-matrix.sh --story 'text*'
pip install 'crosswire[speed,store]'
"""


def test_good_commands_pass() -> None:
    assert wrong_commands(block(GOOD)) == []
    assert len(command_lines(block(GOOD))) == 8


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("crosswire serve --prot 9002", "unrecognized arguments: --prot 9002"),
        ("crosswire server", "invalid choice: 'server'"),
        ("x=1 crosswire traits", "the following arguments are required: MODEL"),
        ("crosswire convert --from openai --to gemini < x", "invalid choice: 'openai'"),
        ("crosswire credentials ad openai", "invalid choice: 'ad'"),
        ("crosswire mappings add x", "the following arguments are required: backend"),
        ("true && crosswire-mock scenarios --prt 1", "unrecognized arguments: --prt 1"),
        ("crosswire-matrix run --stroy text", "unrecognized arguments: --stroy text"),
        ("./run-matrix.sh --stroy text", "unrecognized arguments: --stroy text"),
        ("crosswire-matrx run", "no such command"),
        ("./run-everything.sh", "no such file"),
        ("python -m benchmarks.nothing", "no module benchmarks.nothing"),
        ("pip install 'crosswire[speedy]'", "no extra speedy"),
    ],
)
def test_a_wrong_command_is_found(line: str, what: str) -> None:
    (error,) = wrong_commands(block(f"{line}\n"))
    assert error.startswith("sample.md:1: ")
    assert what in error
    assert len(wrong_commands(block(f"$ {line}\nsome output\n", "console"))) == 1


def test_a_line_is_split_as_a_shell_does() -> None:
    assert list(simple_commands("A=1 x 'a b' > f 2>&1 | y; (z)")) == [["x", "a b"], ["y"], ["z"]]


# ---- running ---------------------------------------------------------------------------------------------------------


def complaints_of(text: str, tmp_path: Path) -> list[str]:
    folder = tmp_path / "empty"
    folder.mkdir()
    return PageRunner(Page("sample.md", text), folder, tmp_path / "bin").run()


RUN = """\
<!-- file -->
```yaml
# crosswire.yaml
listen: 127.0.0.1:9001
backends: {home: {protocol: ollama, base_url: "http://127.0.0.1:8888/ollama"}}
```

<!-- run: server -->
```sh
crosswire serve
```

<!-- run -->
```console
$ crosswire check; echo $?
crosswire.yaml: no mistakes; 1 backend, … models
0
$ curl -s http://127.0.0.1:9001/livez
ok
```

<!-- run -->
```python
print("Hello!")
```

<!-- run: output -->
```
Hello!
```
"""


def test_a_good_page_runs(tmp_path: Path) -> None:
    assert complaints_of(RUN, tmp_path) == []


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("no mistakes; 1", "no mistakes; 2", "shown:\ncrosswire.yaml: no mistakes; 2 backend"),
        ("ok\n", "", "printed:\nok"),
        ("Hello!\n```", "Good day!\n```", "shown:\nGood day!"),
        ('print("Hello!")', "raise SystemExit(3)", "exit code 3"),
        ("crosswire serve", "crosswire serve --config missing.yaml", "does not start"),
        ("# crosswire.yaml\n", "", "its first line names no file"),
    ],
)
def test_a_broken_page_is_found(tmp_path: Path, old: str, new: str, what: str) -> None:
    assert old in RUN
    assert any(what in complaint for complaint in complaints_of(RUN.replace(old, new, 1), tmp_path))


def test_an_ellipsis_stands_for_any_text() -> None:
    assert is_shown("a … c\n…", "a b\nb c\nrest\n")
    assert not is_shown("a … d", "a b c")
    assert not is_shown("a", "a b")
