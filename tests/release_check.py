"""Build what is released, and try the wheel from an empty folder.

    python -m tests.release_check

The wheel is installed into a throw-away environment that sees the packages of this one, so nothing
is fetched but what building needs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
IN_BOTH = (
    "LICENSE", "methods/var.py", "benchmarks/pope.py", "leaderboard/board.schema.json",
    "recorded/catalogue.json", "claims/papers/pope.toml", "report/page/report.css",
    "world/glyph/model.safetensors",
)  # fmt: skip


def run(*command: str | Path, folder: Path) -> str:
    """Run a command in a folder, without this repository on its path.

    Raises:
        SystemExit: If it fails, with what it said.
    """
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(folder: Path) -> tuple[Path, Path]:
    """Build sdist and wheel into a folder, and let twine check them; return both."""
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, folder=folder)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel, folder=folder)
    return sdist, wheel


def contents(sdist: Path, wheel: Path) -> tuple[set[str], set[str]]:
    """Return the names of all files in both, without the folder that an sdist has on top."""
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(wheel) as archive_of_wheel:
        return packed, set(archive_of_wheel.namelist())


def installed(wheel: Path, folder: Path) -> Path:
    """Install a wheel alone into an environment that sees this one's packages; return `halluc`."""
    run(sys.executable, "-m", "venv", folder / "venv", folder=folder)
    python = folder / "venv" / "bin" / "python"
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel, folder=folder)
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.with_name("halluc")


def main() -> None:
    """Check a release.

    Raises:
        SystemExit: With the first thing that is wrong.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sdist, wheel = build(folder)
        for files, kind in zip(contents(sdist, wheel), ("sdist", "wheel"), strict=True):
            if missing := [e for e in IN_BOTH if not any(f.endswith(e) for f in files)]:
                raise SystemExit(f"{kind}: lacks {', '.join(missing)}")
        halluc, empty = installed(wheel, folder), folder / "empty"
        empty.mkdir()
        from halluc.provenance import VERSION

        where = run(
            halluc.with_name("python"),
            "-c",
            "import halluc; print(halluc.__file__, halluc.__version__)",
            folder=empty,
        )
        if str(folder) not in where or not where.strip().endswith(VERSION):
            raise SystemExit(f"not the wheel of {VERSION}: {where}")
        if "var" not in run(halluc, "list", "methods", folder=empty).split():
            raise SystemExit("halluc list methods: no var")
        shown = run(
            halluc,
            "eval",
            "--model",
            "glyph",
            "--benchmarks",
            "glyph_pope",
            "--limit",
            "2",
            folder=empty,
        )
        if "36 answers about 2 images" not in shown:
            raise SystemExit(f"halluc eval: {shown}")
        sizes = [f"{file.name} ({file.stat().st_size / 1e6:.1f} MB)" for file in (sdist, wheel)]
        print(f"fit to be released: {' and '.join(sizes)}")


if __name__ == "__main__":
    main()
