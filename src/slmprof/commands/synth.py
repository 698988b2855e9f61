"""`slmprof synth`: a GGUF with random weights from a preset, a configuration or dimensions."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..settings.kinds import MAX_SEED, MOST, Whole
from .deadline import add_deadline
from .options import file_name, note_ignored, text_of, value_of
from .streams import put

if TYPE_CHECKING:
    from ..settings.dimensions import Dimensions

NAME = "synth"
HELP = "write a GGUF with random weights from a preset, a config.json or dimensions"

# Options that describe a model by its dimensions; all but the optional ones are needed.
_NEEDED = ("n_layer", "n_embd", "n_ff", "n_head", "n_vocab")
_OPTIONAL = ("n_head_kv", "n_ctx_train", "head_dim", "n_rot", "n_expert", "n_expert_used")

_DEFAULT_N_CTX_TRAIN = 2048


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Writes a GGUF file with random weights: fine for time and memory, meaningless for "
        "accuracy. Each tensor gets the type that llama-quantize would choose."
    )
    parser.add_argument(
        "name",
        type=file_name("a NAME"),
        metavar="NAME",
        nargs="?",
        help="a preset (see --list) or a Hugging Face config.json; "
        "with --arch, the new model's name",
    )
    help_text = "the GGUF file to write"
    parser.add_argument("-o", "--output", type=file_name(), metavar="FILE", help=help_text)
    parser.add_argument("--list", action="store_true", help="list the presets and their sizes")
    parser.add_argument(
        "--file-type",
        type=text_of("the name of a type"),
        metavar="TYPE",
        help="the one behind the @ of NAME, or Q4_K_M",
    )
    parser.add_argument(
        "--tensor-type",
        metavar="PATTERN=TYPE",
        action="append",
        type=_read_tensor_type,
        default=[],
        help="type of all tensors whose name the regular expression finds, e.g. attn_qkv=q5_K; "
        "may be given several times, and the first that finds a name wins",
    )
    parser.add_argument(
        "--seed",
        type=value_of(Whole(0, MAX_SEED)),
        default=0,
        metavar="N",
        help="of the random weights; default: 0",
    )
    parser.add_argument(
        "--no-overwrite", action="store_true", help="refuse to replace an existing file"
    )
    group = parser.add_argument_group("a model by its dimensions")
    arch, help_text = text_of("an architecture"), "llama.cpp's name of the architecture"
    group.add_argument("--arch", type=arch, metavar="ARCH", help=help_text)
    for option in _NEEDED + _OPTIONAL:
        # What a model can have of it is for `Dimensions` to say.
        number = value_of(Whole(-MOST))
        group.add_argument(f"--{option.replace('_', '-')}", type=number, metavar="N")
    group.add_argument(
        "--tied",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether the output matrix is the embedding matrix",
    )
    add_deadline(parser)


def run(args: argparse.Namespace) -> int:
    if args.list:
        if args.tensor_type:
            raise UsageError("--list shows file types as llama-quantize writes them")
        _print_presets(args.file_type)
        return 0
    _check_usage(args)

    from ..models.synthesis import plan_source, write_plan_to

    source = _read_dimensions(args) if args.arch else args.name
    note_ignored(source, args.file_type)
    plan = plan_source(source, args.file_type, args.seed, tensor_types=args.tensor_type)
    path = write_plan_to(plan, args.output, overwrite=not args.no_overwrite)
    if plan.fallbacks is not None:
        from ..reporters.documents.fallbacks import fallback_text

        put(f"warning: {fallback_text(plan.fallbacks)}")
    bits = 8 * plan.size_bytes / plan.n_params
    put(
        f"{path}: {plan.dimensions.name} ({plan.dimensions.architecture}), "
        f"{plan.n_params / 1e6:.2f} M parameters, {plan.size_bytes / 2**20:.2f} MiB as "
        f"{plan.file_type} ({bits:.2f} bits per weight), random weights (seed {plan.seed})"
    )
    return 0


def _read_tensor_type(text: str) -> tuple[str, str]:
    """PATTERN=TYPE as llama-quantize reads it, which makes the pattern lower case."""
    pattern, separator, type_ = text.rpartition("=")
    if not (separator and pattern and type_):
        raise argparse.ArgumentTypeError(f"{text!r} is not PATTERN=TYPE")
    return pattern.lower(), type_


def _check_usage(args: argparse.Namespace) -> None:
    stray = [
        f"--{option.replace('_', '-')}"
        for option in (*_NEEDED, *_OPTIONAL, "tied")
        if getattr(args, option) is not None
    ]
    if args.arch is None:
        if stray:
            raise UsageError(f"{stray[0]} needs --arch ARCH: presets have dimensions of their own")
        if args.name is None:
            raise UsageError(
                "name a preset, a config.json or --arch ARCH; --list shows the presets"
            )
    else:
        missing = [f"--{o.replace('_', '-')}" for o in _NEEDED if getattr(args, o) is None]
        if missing:
            raise UsageError(f"--arch needs {', '.join(missing)} as well")
    if args.output is None:
        raise UsageError("name the file to write with -o FILE")


def _read_dimensions(args: argparse.Namespace) -> Dimensions:
    from ..models.architectures import ARCHITECTURES
    from ..models.presets import PRESETS
    from ..settings.dimensions import Dimensions

    fields = {o: v for o in (*_NEEDED, *_OPTIONAL) if (v := getattr(args, o)) is not None}
    fields.setdefault("n_ctx_train", _DEFAULT_N_CTX_TRAIN)
    rules = ARCHITECTURES.get(args.arch)
    tied = args.tied
    if tied is None:
        tied = rules is not None and rules.output == "tied"
    # Keys without which the architecture's own preset would not run are taken from it.
    sibling = next(
        (p.dimensions for p in PRESETS.values() if p.dimensions.architecture == args.arch), None
    )
    extra = sibling.extra if sibling is not None else ()
    return Dimensions(
        architecture=args.arch,
        name=args.name or f"{args.arch}-{fields['n_layer']}x{fields['n_embd']}",
        tied=tied,
        extra=extra,
        **fields,
    )


def _print_presets(file_type: str | None) -> None:
    from ..models.presets import PRESETS
    from ..models.synthesis import DEFAULT_FILE_TYPE, plan_model

    file_type = file_type or DEFAULT_FILE_TYPE
    rows = [("preset", "arch", "layers", "embd", "vocab", "M params", f"MiB {file_type}")]
    for preset in PRESETS.values():
        d = preset.dimensions
        plan = plan_model(d, file_type)
        sizes = f"{plan.n_params / 1e6:.2f}", f"{plan.size_bytes / 2**20:.2f}"
        lengths = str(d.n_layer), str(d.n_embd), str(d.n_vocab)
        rows.append((preset.name, d.architecture, *lengths, *sizes))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, arch, *numbers in rows:
        names = f"{name:<{widths[0]}}  {arch:<{widths[1]}}"
        print(names, *(f"{n:>{w + 1}}" for n, w in zip(numbers, widths[2:], strict=True)))
