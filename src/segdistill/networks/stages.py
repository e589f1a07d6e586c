"""Named feature maps of any segmentation network, caught for the length of one forward pass.

Stages are named `side/stride[/node]`: `encoder/8` is the encoder's map at 1/8 of the input, `decoder/1` the
last full-resolution map before the output convolution, `logits` the output, `logits/2` the deep-supervision
head at half resolution. `encoder/deepest` and `decoder/last` are aliases. Where a side has several maps at
one stride, the bare name is the last in forward order and the others carry a node name (`encoder/16/stage`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from torch import Tensor, nn

Reading = Callable[[Any], Tensor]
Stage = tuple[
    nn.Module, Reading | None
]  # the module whose output it is, and how to read a (B, C, *S) map from it

_TABLE = "segdistill_stages"


def name_stages(module: nn.Module, names: Mapping[str, str | tuple[str, Reading]]) -> nn.Module:
    """Give names to feature maps of a network of your own, and return that network.

    `names` maps a stage name to the dotted path of the submodule whose output it is (`{"encoder/8":
    "enc.3"}`), or to a pair of path and function where the output is no (batch, channel, *space) map yet.
    `logits` is always the network's output unless named otherwise. Nothing is wrapped: the table is kept as
    an attribute, so parameters keep their names and copies keep their stages.

    Raises ValueError for a path that is no submodule and for a name that is not `side/stride[/node]`.
    """
    modules = dict(module.named_modules())
    for name, value in names.items():
        if not _is_stage_name(name):
            raise ValueError(
                f"'{name}' is no stage name; write encoder/<stride>, decoder/<stride> (each with an optional "
                "/<node>), logits or logits/<stride>"
            )
        path = value if isinstance(value, str) else value[0]
        if path not in modules:
            raise ValueError(
                f"stage '{name}': {type(module).__name__} has no submodule '{path}'{_near(path, modules)}"
            )
    setattr(module, _TABLE, dict(names))
    return module


def stage_names(network: nn.Module) -> tuple[str, ...]:
    """All stage names of `network` in the order of its table, the encoder's first and aliases last."""
    table = stage_table(network)
    aliases = [alias for alias in ("encoder/deepest", "decoder/last") if _alias(alias, table) is not None]
    return (*table, *aliases)


def resolve(network: nn.Module, name: str) -> str:
    """The stage that `name` means: itself, or what an alias stands for.

    Raises ValueError listing the choices for a name that means nothing here.
    """
    table = stage_table(network)
    if name in table:
        return name
    found = _alias(name, table)
    if found is None:
        raise ValueError(
            f"{type(network).__name__} has no stage '{name}'; it has: {', '.join(stage_names(network))}"
        )
    return found


def stride_of(name: str) -> int:
    """The stride in a (resolved) stage name: 16 for `encoder/16/stage`, 1 for `logits`."""
    parts = name.split("/")
    return int(parts[1]) if len(parts) > 1 else 1


@contextmanager
def catch(network: nn.Module, names: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Within the `with`, each forward of `network` fills the yielded dict with the maps asked for.

    Keys are the names as asked. Hooks sit only on the modules needed and are gone afterwards. Maps keep their
    gradient history. Raises ValueError for an unknown stage, and on leaving if a stage did not run although
    the network did.
    """
    table = stage_table(network)
    maps: dict[str, Tensor] = {}
    wanted: dict[nn.Module, list[tuple[str, Reading | None]]] = {}
    asked = list(dict.fromkeys(names))
    for name in asked:
        module, reading = table[resolve(network, name)]
        wanted.setdefault(module, []).append((name, reading))

    def hook(module: nn.Module, _: Any, output: Any) -> None:
        for name, reading in wanted[module]:
            value = output if reading is None else reading(output)
            if not isinstance(value, Tensor):
                raise ValueError(
                    f"stage '{name}' of {type(network).__name__}: {type(module).__name__} returns "
                    f"{type(value).__name__}, not a tensor; name it with a function that picks the map"
                )
            maps[name] = value

    ran: list[bool] = []
    handles = [module.register_forward_hook(hook) for module in wanted]
    handles.append(network.register_forward_hook(lambda *_: ran.append(True)))
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()
    if ran and (silent := [name for name in asked if name not in maps]):
        raise ValueError(
            f"{type(network).__name__} ran without its stage(s) {', '.join(silent)}: no map to learn from"
        )


def first_output(output: Any) -> Tensor:
    """The full-resolution logits in what a network returned: a tensor, a list of heads, a dict with `out`."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, list | tuple) and output and isinstance(output[0], Tensor):
        return output[0]
    if isinstance(output, Mapping):
        for key in ("logits", "out"):
            if isinstance(output.get(key), Tensor):
                return cast(Tensor, output[key])
    raise ValueError(
        "a network must return a tensor of logits, a list that begins with it, or a dict with 'logits' "
        f"or 'out'; got {type(output).__name__}"
    )


def heads_of(output: Any) -> list[Tensor]:
    """All logits in what a network returned, in float32: full resolution first, then its deep supervision heads."""
    heads = output if isinstance(output, list | tuple) else [first_output(output)]
    return [head.float() for head in heads]


def stage_table(network: nn.Module) -> dict[str, Stage]:
    """Stages as the network or the table of `name_stages` tells them; `logits` is always there, last."""
    named: Mapping[str, str | tuple[str, Reading]] | None = getattr(network, _TABLE, None)
    table: dict[str, Stage] = {}
    if named is not None:
        for name, value in named.items():
            path, reading = (value, None) if isinstance(value, str) else value
            table[name] = (network.get_submodule(path), reading)
    elif callable(getattr(network, "stages", None)) and not isinstance(network.stages, nn.Module):
        table.update(cast(Any, network).stages())
    table.setdefault("logits", (network, first_output))
    return table


def _alias(name: str, table: Mapping[str, Stage]) -> str | None:
    """What `encoder/deepest` (largest stride) or `decoder/last` (in order) stands for, if anything."""
    side = {"encoder/deepest": "encoder", "decoder/last": "decoder"}.get(name)
    members = [other for other in table if side is not None and other.split("/")[0] == side]
    if not members:
        return None
    if side == "decoder":
        return members[-1]
    largest = max(stride_of(member) for member in members)
    deepest = [member for member in members if stride_of(member) == largest]
    return next((member for member in deepest if member.count("/") == 1), deepest[-1])


def _is_stage_name(name: str) -> bool:
    side, *rest = name.split("/")
    if side == "logits":
        return not rest or (len(rest) == 1 and rest[0].isdecimal())
    return side in ("encoder", "decoder") and 1 <= len(rest) <= 2 and rest[0].isdecimal() and all(rest)


def _near(path: str, modules: Mapping[str, nn.Module]) -> str:
    parent = path.rsplit(".", 1)[0] if "." in path else ""
    start = f"{parent}." if parent in modules and parent else ""
    below = [name for name in modules if name.startswith(start) and "." not in name[len(start) :] and name]
    return f"; submodules{' of ' + parent if start else ''}: {', '.join(below[:20])}" if below else ""
