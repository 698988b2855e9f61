"""Writes the golden profile of format version 8, and the numbers that it must give for ever.

Run it only to add a golden file of a new format version; never to make a failing test pass. Its
run is that of version 7, of which copies and fills are recorded by now.

    python tests/golden/make_v8.py
"""

from __future__ import annotations

from make_v7 import example
from test_golden import write_golden

if __name__ == "__main__":
    write_golden(example(), 8)
