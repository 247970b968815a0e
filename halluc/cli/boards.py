"""Commands on finished runs: `halluc compare`, `power`, `leaderboard` and `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from halluc.cli.options import (
    ChairTables,
    GroundTruth,
    Json,
    SkipUnfinished,
    TablesIn,
    print_json,
    typed_options,
)
from halluc.cli.printing import say, show, window
from halluc.errors import UserError
from halluc.figure_files import checked_figure
from halluc.plain_text import printable


def compare_command(
    first: Annotated[Path, typer.Argument(help="Run folder, or answers file.")],
    second: Annotated[
        Path, typer.Argument(help="Run folder or answers file to compare with: the baseline.")
    ],
    benchmark: Annotated[
        str | None, typer.Option(help="Benchmark the answers files are of.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Question or annotation file of the answers.")
    ] = None,
    ground_truth: GroundTruth = None,
    chair_tables: ChairTables = None,
    protocol: Annotated[str | None, typer.Option(help="Protocol to score both by.")] = None,
    as_json: Json = False,
) -> None:
    """Compare two runs, or two answers files, on the samples both answered."""
    from halluc.leaderboard.comparison_tables import names_of, tables, verdict
    from halluc.leaderboard.run_comparison import compare_files, compare_runs
    from halluc.scoring.answer_files import AnswerFiles

    differ_in: list[str] = []
    if first.is_dir() and second.is_dir():
        pairs, differ_in = compare_runs(first, second, protocol)
    elif benchmark is None:
        wrong = " and ".join(str(path) for path in (first, second) if not path.is_dir())
        raise UserError(
            f"{wrong}: no such run folder; answers files need --benchmark: whose format is it?"
        )
    else:
        typed = typed_options(protocol=protocol, tables=chair_tables)
        files = (AnswerFiles(path, labels, ground_truth) for path in (first, second))
        pairs = compare_files(benchmark, typed, *files)
    if as_json:
        benchmarks = {name: pair.model_dump() for name, pair in pairs.items()}
        print_json({"benchmarks": benchmarks, "differ_in": differ_in})
        return
    names = names_of(first, second)
    show(*tables(pairs, names, window().width))
    for note in dict.fromkeys(note for pair in pairs.values() for note in pair.notes):
        say(printable(note))
    if differ_in:
        say(printable(f"The runs also differ in {'; '.join(differ_in)}."))
    say(verdict(pairs, names))


def power_command(
    benchmark: Annotated[
        str | None,
        typer.Option(help="Benchmark whose images and questions are meant; default: the pilot's."),
    ] = None,
    difference: Annotated[
        float | None,
        typer.Option(
            help="Difference to find in the share of right answers; default: the pilot's."
        ),
    ] = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="Number of images; default: all of the benchmark.")
    ] = None,
    pilot: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            help="Two runs to measure --discordance and --correlation from, and --difference."
        ),
    ] = None,
    discordance: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Share of answers that only one method gets right."),
    ] = 0.1,
    correlation: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Correlation of the differences about one image."),
    ] = 0.1,
    target: Annotated[
        float, typer.Option(min=0.05, max=0.999, help="Wanted probability of finding it.")
    ] = 0.8,
    alpha: Annotated[
        float, typer.Option(min=1e-6, max=0.5, help="Two-sided level of the test.")
    ] = 0.05,
    as_json: Json = False,
) -> None:
    """Compute how many images it takes to find a difference, and what a benchmark can find."""
    from halluc.cli.pilot import sought
    from halluc.statistics.power_planning import lines, plan

    name, difference, seen = sought(benchmark, difference, pilot)
    planned = plan(name, difference, images, pilot, discordance, correlation, target, alpha)
    planned |= {"observed_on_answers": seen}
    if as_json:
        print_json(planned)
        return
    if seen:
        typer.echo(
            f"--difference {difference:.4g} is what the pilot shows on {seen} answers, which is "
            "uncertain; better give the smallest difference that matters"
        )
    for line in lines(planned):
        typer.echo(line)


def leaderboard_command(
    places: Annotated[
        list[Path], typer.Argument(help="Run folders, folders of run folders, and boards (JSON).")
    ],
    output: Annotated[
        Path | None, typer.Option(help="File to write the board to, as JSON.")
    ] = None,
    markdown_in: TablesIn = None,
    overview_in: Annotated[
        Path | None,
        typer.Option(
            "--overview", help="File to write models by methods into, between the same markers."
        ),
    ] = None,
    findings_in: Annotated[
        Path | None,
        typer.Option(
            "--findings", help="File to write which gains survive into, between the same markers."
        ),
    ] = None,
    verdicts_in: Annotated[
        Path | None,
        typer.Option(
            "--verdicts",
            help="File to write the methods of each verdict into, one table, between the markers.",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="Metric that --findings and --verdicts judge by, BENCHMARK.METRIC; repeatable."
        ),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="File to write the board to, a line per metric.")
    ] = None,
    latex_in: Annotated[
        Path | None,
        typer.Option("--latex", help="File to write tables for a paper to (booktabs)."),
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(help="File to draw the differences to: .png, .pdf or .svg.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Show only these models; p-values stay corrected over the whole board."),
    ] = None,
    decoding: Annotated[
        str | None, typer.Option(help="Only rows decoded so: greedy, sampling or beams.")
    ] = None,
    skip_unfinished: SkipUnfinished = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print no tables.")] = False,
) -> None:
    """Gather finished runs, and boards of other machines, into one board."""
    from halluc.files import write_whole
    from halluc.leaderboard import (
        collect,
        draw_board,
        findings,
        insert,
        markdown,
        of_decoding,
        of_models,
        overview,
        render,
        verdicts,
        write_csv,
    )
    from halluc.leaderboard.board_file import write_board
    from halluc.leaderboard.latex_tables import latex

    if figure is not None:
        checked_figure(figure)
    board = of_decoding(of_models(collect(places, skip_unfinished), model or ()), decoding)
    if output is not None:
        write_board(board, output)
    if markdown_in is not None:
        insert(markdown(board), markdown_in)
    if overview_in is not None:
        insert(overview(board), overview_in)
    chosen = dict(one.partition(".")[::2] for one in metric or ())
    if findings_in is not None:
        insert(findings(board, chosen), findings_in)
    if verdicts_in is not None:
        insert(verdicts(board, chosen), verdicts_in)
    if csv is not None:
        write_csv(board, csv)
    if latex_in is not None:
        write_whole(latex_in, latex(board))
    if figure is not None:
        draw_board(board, figure)
    if not quiet:
        show(*render(board, window().width))
    if output is not None:
        typer.echo(printable(f"{output}: {len(board.rows)} rows"))


def export_command(
    form: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT",
            help="Format: lm-eval, every-eval-ever, eval-results or model-index.",
        ),
    ],
    places: Annotated[list[Path], typer.Argument(help="Run folders, or folders of run folders.")],
    output: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("export"),
    organization: Annotated[
        str, typer.Option(help="Organization that ran them (every-eval-ever).")
    ] = "unknown",
    dataset: Annotated[
        str | None, typer.Option(help="Hub id for data that is not on the hub (eval-results).")
    ] = None,
    source_url: Annotated[
        str | None,
        typer.Option(help="Address where the runs can be seen (eval-results, model-index)."),
    ] = None,
) -> None:
    """Write runs in a format that other tools read."""
    from halluc.export import export_runs

    for path in export_runs(form, places, output, organization, dataset, source_url):
        typer.echo(str(path))
