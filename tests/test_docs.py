"""Documentation that is derived from the code is not stale, and what it says holds."""

import re
import subprocess
import sys
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


def test_links_in_the_documents_lead_somewhere():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("**/plugins/*/README.md")]
    assert len(pages) > 5
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            if not target.startswith(("http://", "https://", "mailto:")):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
