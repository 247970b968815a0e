"""`halluc data pack` and `unpack`: a benchmark's data in one file, for nodes without a network."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from halluc.data.bundle import Manifest, pack, unpack
from halluc.data.pinned_files import cache_folder
from halluc.errors import UserError
from halluc.plain_text import printable
from halluc.provenance import VERSION
from halluc.scoring.building import PATHS, build, one_benchmark
from halluc.validation import key_values

data_app = typer.Typer(
    help="Pack a benchmark's data into one file, and unpack it where there is no network.",
    no_args_is_help=True,
)


@data_app.command("pack")
def pack_command(
    benchmark: Annotated[str, typer.Argument(help="Benchmark; see 'halluc list benchmarks'.")],
    output: Annotated[Path, typer.Option(help="File that receives the bundle.")],
    benchmark_args: Annotated[
        str, typer.Option(help="Options of the benchmark, as of 'halluc eval': folder=DIR.")
    ] = "",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Number of images; default: all.")
    ] = None,
) -> None:
    """Pack all that a benchmark reads: questions, annotations, and the images asked about."""
    benchmark, options = one_benchmark(benchmark, key_values(benchmark_args, "--benchmark-args"))
    options.pop("judge", None)
    built = build(benchmark, options)
    if built.card.dataset == "halluc.world":
        raise UserError(f"{benchmark}: is drawn by halluc itself; there is nothing to pack")
    files = _files_read(benchmark, options, limit)
    if limit is not None and not _are_enough(benchmark, options, limit, files):
        typer.echo(f"{benchmark}: looks for all its images, so all are packed", err=True)
        files = _files_read(benchmark, options, None)
    if not files:
        raise UserError(f"{benchmark}: reads no files that can be packed")
    about = Manifest(
        benchmark=benchmark,
        version=built.card.version,
        halluc=VERSION,
        options={key: value for key, value in options.items() if key not in PATHS},
        limit=limit,
    )
    manifest = pack(output, about, files)
    size = sum(member.size for member in manifest.files) / 2**20
    typer.echo(f"{printable(output)}: {len(manifest.files)} files, {size:.1f} MiB")


@data_app.command("unpack")
def unpack_command(
    file: Annotated[Path, typer.Argument(help="Bundle of 'halluc data pack'.")],
    folder: Annotated[Path, typer.Argument(help="New folder that receives its files.")],
) -> None:
    """Check every file of a bundle, unpack it, and print the command that uses it."""
    manifest = unpack(file, folder)
    parts = {Path(member.name).parts[0] for member in manifest.files}
    place = folder.resolve()
    variables = {"hub": "HF_HUB_CACHE", "cache": "HALLUC_CACHE", "nltk": "NLTK_DATA"}
    command = [f"{name}={place / part}" for part, name in variables.items() if part in parts]
    command += ["HF_HUB_OFFLINE=1"] * ("hub" in parts)
    options = [f"{key}={json.dumps(v).strip(chr(34))}" for key, v in manifest.options.items()]
    options += [f"folder={place / 'folder'}"] * ("folder" in parts)
    tables = [Path(m.name).name for m in manifest.files if m.name.startswith("tables/")]
    options += [f"tables={place / 'tables' / name}" for name in tables[:1]]
    command += ["halluc", "eval", "--benchmarks", manifest.benchmark]
    command += ["--benchmark-args", ",".join(options)] * bool(options)
    command += ["--limit", str(manifest.limit)] * (manifest.limit is not None)
    typer.echo(f"{len(manifest.files)} files are whole; run with", err=True)
    typer.echo(" ".join(printable(part) for part in command))


def _are_enough(name: str, options: dict[str, Any], limit: int, files: dict[str, Path]) -> bool:
    """Return whether a benchmark can be read where a folder has these files alone."""
    if "folder" not in options:
        return True
    with TemporaryDirectory() as place:
        for inner, path in files.items():
            copy = Path(place) / inner
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        try:
            _files_read(name, {**options, "folder": str(Path(place) / "folder")}, limit)
        except UserError:
            return False
    return True


def _files_read(name: str, options: dict[str, Any], limit: int | None) -> dict[str, Path]:
    """Return by name in the bundle the files that a benchmark reads.

    Another process reads all samples, images and what scoring needs, and says what it opened.
    """
    command = [sys.executable, "-m", "halluc.cli.files_read", name, json.dumps(options)]
    done = subprocess.run(
        [*command, json.dumps(limit)], capture_output=True, text=True, errors="replace"
    )
    if done.returncode == 2:
        raise UserError(done.stderr.strip().removeprefix("halluc: "))
    if done.returncode:
        raise UserError(f"{name}: cannot be read ({printable(done.stderr.strip()[-300:])})")
    said = json.loads(done.stdout.splitlines()[-1])
    roots: dict[str, list[Path]] = {
        "folder": [Path(str(options["folder"])).expanduser()] if "folder" in options else [],
        "hub": [Path(said["hub"])],
        "cache": [cache_folder()],
        "nltk": [Path(path) for path in said["nltk"]],
    }
    files: dict[str, Path] = {}
    opened = [Path(path) for path in said["opened"]]
    for path in [*opened, cache_folder() / "seen.json"]:
        for part, folders in roots.items():
            for root in folders:
                if path.is_file() and path.is_relative_to(root.absolute()):
                    inner = path.relative_to(root.absolute())
                    files.setdefault(f"{part}/{inner.as_posix()}", path)
    if "tables" in options:
        tables = Path(str(options["tables"])).expanduser()
        files[f"tables/{tables.name}"] = tables
    only_records = all(place == "cache/seen.json" for place in files)
    return {} if only_records else files
