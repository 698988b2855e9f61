"""`slmprof roofline`: the measured ceilings of this machine."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..reporters.renderers import render
from ..settings.devices import CPU
from .options import FORMATS, add_setting, file_name
from .streams import note

if TYPE_CHECKING:
    from ..profiles.records.ceilings import Ceilings
    from ..profiles.records.device_ceilings import DeviceCeilings

NAME = "roofline"
HELP = "measure this machine's peak bandwidth and arithmetic"

_FROM_CACHE, _MEASURED = "from the cache (--refresh measures again)", "measured now"
_NOT_KEPT = (
    "the cache folder cannot be written, so this will be measured again; "
    "set SLMPROF_CACHE_DIR to another folder"
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    from ..settings.table import LlamaSettings, RunSettings, table

    parser.description = (
        "Measures bandwidth by cache level, the speed of ggml's matrix products by type and that "
        "of single instructions, and keeps the figures in the cache folder, where `breakdown` "
        "finds them. With --device cuda:N those of a CUDA device: bandwidth of its memory, its "
        "last cache and its link to the host, and the peaks that ggml's kernels can use."
    )
    add_setting(parser, table(LlamaSettings)["device"])
    add_setting(parser, table(LlamaSettings)["threads"])
    parser.add_argument("--format", choices=FORMATS, default="table")
    parser.add_argument(
        "--refresh", action="store_true", help="measure again, also where the cache has figures"
    )
    parser.add_argument(
        "--ceilings",
        type=file_name(),
        metavar="FILE",
        help="print a file that -o wrote, if it is of this machine",
    )
    parser.add_argument(
        "--scaling", action="store_true", help="beside them those of one thread, and what more give"
    )
    parser.add_argument(
        "--isa", action="store_true", help="what instruction sets change, or would change"
    )
    help_text = "also write the figures to a file"
    parser.add_argument("-o", "--output", type=file_name(), metavar="FILE", help=help_text)
    add_setting(parser, table(RunSettings)["timeout"])


def run(args: argparse.Namespace) -> int:
    """Prints the ceilings; returns the exit code."""
    from ..profiles.records.ceilings import write_ceilings
    from ..system.cores import default_threads

    if args.refresh and args.ceilings is not None:
        raise UsageError("--refresh measures, --ceilings FILE takes figures from a file: one only")
    if args.output is not None:
        from ..profiles.storage.file import check_writable

        check_writable(args.output)
    device: str = getattr(args, "device", CPU)
    if device.lower() != CPU:
        return _run_device(args)
    n_threads: int = getattr(args, "threads", None) or default_threads()
    if args.scaling and n_threads == 1:
        raise UsageError("--scaling compares with one thread: give --threads 2 or more")
    found, source = _obtain(args, n_threads)
    if args.output is not None:
        write_ceilings(found, args.output)
        note(f"wrote {args.output}")
    from ..reporters.documents.ceilings import ceilings_document

    single = _of_one_thread(args) if args.scaling else None
    document = ceilings_document(found, source, by_isa=args.isa, single=single)
    render(document, args.format, sys.stdout)
    return 0


def _run_device(args: argparse.Namespace) -> int:
    """Prints the ceilings of a device; returns the exit code."""
    from ..reporters.documents.device_ceilings import device_ceilings_document

    for option in ("threads", "scaling", "isa"):
        if getattr(args, option, None):
            raise UsageError(f"--{option} is of the CPU, and --device {args.device} is another")
    found, source = _obtain_of_device(args)
    if args.output is not None:
        from ..profiles.records.device_ceilings import write_device_ceilings

        write_device_ceilings(found, args.output)
        note(f"wrote {args.output}")
    render(device_ceilings_document(found, source), args.format, sys.stdout)
    return 0


def _obtain_of_device(args: argparse.Namespace) -> tuple[DeviceCeilings, str]:
    """As `_obtain`, of a device beside the CPU."""
    from ..machine import device_ceilings as capture
    from .progress import ProgressBar

    if args.ceilings is not None:
        found = capture.load_device_ceilings(args.ceilings, args.device)
        return found, f"from {args.ceilings}"
    here = capture.fingerprint(args.device)
    if not args.refresh:
        kept = capture.find_device_ceilings(args.device, here)
        if kept is not None:
            return kept, _FROM_CACHE
    with ProgressBar(sys.stderr) as bar:
        measured = capture.measure_device_ceilings(args.device, bar.update, timeout=_timeout(args))
    if capture.keep_device_ceilings(measured) is None:
        note(_NOT_KEPT)
    return measured, _MEASURED


def _timeout(args: argparse.Namespace) -> float | None:
    seconds: float | None = getattr(args, "timeout", None)
    return seconds


def _of_one_thread(args: argparse.Namespace) -> Ceilings:
    """This machine's ceilings with one thread: a file has those of its own number alone."""
    return _obtain(argparse.Namespace(**{**vars(args), "ceilings": None}), 1)[0]


def _obtain(args: argparse.Namespace, n_threads: int) -> tuple[Ceilings, str]:
    """The ceilings, and in words where they come from."""
    from ..machine import ceilings as capture
    from .progress import ProgressBar

    if args.ceilings is not None:
        return capture.load_ceilings(args.ceilings, n_threads), f"from {args.ceilings}"
    capture.check_threads(n_threads)
    if not args.refresh:
        found = capture.find_ceilings(n_threads)
        if found is not None:
            return found, _FROM_CACHE
    with ProgressBar(sys.stderr) as bar:
        measured = capture.measure_ceilings(n_threads, bar.update, timeout=_timeout(args))
    if capture.keep_ceilings(measured) is None:
        note(_NOT_KEPT)
    return measured, _MEASURED
