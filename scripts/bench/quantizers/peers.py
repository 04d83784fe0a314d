"""The tools that benchmarks compare with, each in its own Python environment under build/peers.

Made when missing (network, 2 GB): their packages conflict with this project's.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from child_process import ROOT

PACKAGES = {
    "onnxruntime": ("onnxruntime==1.32.0", "onnx==1.23.2", "opencv-python-headless"),
    # Pinned, since the index has a CPU build of this torch.
    "modelopt": ("nvidia-modelopt[onnx]==0.47.0", "torch==2.13.0", "opencv-python-headless"),
}


def environment(name: str) -> Path:
    """The Python of a peer's own environment, made when it is not there."""
    folder = ROOT / "build" / "peers" / name
    python = folder / "bin" / "python"
    if not (folder / ".ready").exists():
        print(f"making {folder}: {', '.join(PACKAGES[name])}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PACKAGES[name]], check=True)
        (folder / ".ready").touch()
    return python
