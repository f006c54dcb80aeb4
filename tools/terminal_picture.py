r"""terminal_picture.py STEM WIDTH TITLE < OUTPUT: what a command printed, as STEM-light.svg and STEM-dark.svg.

WIDTH is in characters: with 72 the text can be read at half the size. Colours need a terminal, which
script gives. README's picture, in a clone:

    script -qec 'target/release/ghostnet classify assets/images/chelsea.png' /dev/null | tr -d '\r' |
        python3 tools/terminal_picture.py assets/readme/classify 72 'ghostnet classify assets/images/chelsea.png'

Needs rich (made with 15.0).
"""
import io
import re
import sys
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, SVG_EXPORT_THEME
from rich.text import Text

stem, width, title = sys.argv[1], int(sys.argv[2]), sys.argv[3]
text = Text.from_ansi(sys.stdin.read().rstrip("\n"))
# The reader's own fonts: a picture asks no server for others.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
for name, theme in ("light", DEFAULT_TERMINAL_THEME), ("dark", SVG_EXPORT_THEME):
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    console.print(text, soft_wrap=False)
    console.save_svg(f"{stem}-{name}.svg", title=title, theme=theme, code_format=FORMAT, unique_id=f"terminal-{name}")
