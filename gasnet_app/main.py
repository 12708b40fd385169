import os
import sys
from pathlib import Path

# Threads that spin while they wait starve the browser on a small machine: answers then take ten times longer.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded, hence before everything else

if str(root := Path(__file__).resolve().parent.parent) not in sys.path:
    sys.path.insert(0, str(root))  # a fresh clone runs, and its engine wins over a stray one
from gasnet_app.app import build_page

build_page().servable()
