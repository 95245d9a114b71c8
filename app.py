"""``python app.py`` serves the page, and is how a Space starts it; all of it is in ``resnet_demo/app.py``."""

from __future__ import annotations

import sys

from resnet_demo.__main__ import serve

if __name__ == "__main__":
    sys.exit(serve())
