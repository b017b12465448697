"""Start-up: `gentool --help` and `gentool list` against bare Python, medians of 20 processes.

python benchmarks/startup.py
"""

import sys

from measure import script, wall


def main():
    bare = wall([sys.executable, "-c", ""])
    print(f"bare python        {bare * 1e3:6.0f} ms")
    for words in (["--help"], ["list"], ["run", "adain", "--help"]):
        taken = wall([*script(), *words])
        print(
            f"gentool {' '.join(words):<15}{taken * 1e3:6.0f} ms  {taken / bare:.1f} x bare python"
        )


if __name__ == "__main__":
    main()
