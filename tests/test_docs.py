"""Documentation that is derived from the code is not stale, and what it says holds."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

from gentool import hookspecs

ROOT = Path(__file__).resolve().parents[1]


def test_generated_files_are_fresh():
    done = subprocess.run(
        [sys.executable, ROOT / "tools/generate.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_hook_has_a_test():
    tests = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").glob("*.py"))
    for name in vars(hookspecs):
        if name.startswith("gentool_"):
            assert f"def test_hook_{name}" in tests, f"no test_hook_{name}"


def test_the_action_that_authors_are_shown_is_what_gentool_new_writes():
    page = (ROOT / "docs/authors.md").read_text(encoding="utf-8")
    template = (ROOT / "core/gentool/template/method").rglob("*.py.tmpl")
    written = "".join(path.read_text(encoding="utf-8") for path in template)
    written = written.replace("$package", "gentool_waves")
    shown = re.findall(r"```python\n(.*?)```", page.partition("\n## Test")[0], flags=re.DOTALL)
    assert len(shown) == 3
    for code in shown:
        inside = textwrap.indent(code.rstrip(), 8 * " ")  # of the card
        assert code in written or inside in written, code


def test_links_in_the_documents_lead_somewhere():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("**/plugins/*/README.md")]
    assert len(pages) > 5
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            if not target.startswith(("http://", "https://", "mailto:")):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
