import sys
from pathlib import Path

if str(root := Path(__file__).resolve().parent.parent) not in sys.path:
    sys.path.insert(0, str(root))  # a fresh clone runs, and its engine wins over a stray one
from gasnet_app.app import build_page

build_page().servable()
