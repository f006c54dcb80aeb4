"""terminal_picture.py OUT.svg WIDTH TITLE < OUTPUT: what a command printed, as a picture.

It is for README. Needs rich (made with 15.0).
"""
import sys
from rich.console import Console
from rich.text import Text

out, width, title = sys.argv[1], int(sys.argv[2]), sys.argv[3]
console = Console(record=True, width=width, file=open("/dev/null", "w"), force_terminal=True)
console.print(Text.from_ansi(sys.stdin.read().rstrip("\n")), soft_wrap=False)
console.save_svg(out, title=title, unique_id="terminal")
