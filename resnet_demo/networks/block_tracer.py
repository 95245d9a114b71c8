"""Find ``x + F(x)`` in what a module does, for blocks of classes that nobody described.

The module's own ``forward`` is traced by ``torch.fx`` with its children as black boxes: no photo is needed
and nothing is computed. What is found says which of its additions is the sum, and which side is the shortcut;
the values themselves are taken while the module's real code runs (``analysis/sum_taps``).
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
LAYER, ONE_LAYER = 10, 11  # what a layer with weights counts: a projection, a layer that looks around itself
ADDITIONS = (operator.add, operator.iadd, torch.add, "add", "add_")


@dataclass(frozen=True)
class TracedSum:
    """Where a module adds its branch and its shortcut.

    Attributes:
        index: which of the additions of two tensors in the module's own ``forward``, counted from 0.
        shortcut_first: whether the shortcut is the left operand.
        around: modules in the module that make the shortcut; empty for the identity.
        activation: what makes the output from the sum.
    """

    index: int
    shortcut_first: bool
    around: tuple[nn.Module, ...]
    activation: Callable[[Tensor], Tensor]


class _OwnForward(fx.Tracer):
    """Traces one module's ``forward``; every child is a black box."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


_found: WeakKeyDictionary[nn.Module, tuple[Hashable, TracedSum | None]] = WeakKeyDictionary()


def trace_sum(module: nn.Module) -> TracedSum | None:
    """The sum of a branch and a shortcut in the ``forward`` of ``module``; None if there is not exactly
    that."""
    if isinstance(module, (*CONTAINERS, torch.jit.ScriptModule)):
        return None
    state = _state(module)
    known = _found.get(module)
    if known is None or known[0] != state:
        known = state, _trace(module)
        _found[module] = known
    return known[1]


def _state(module: nn.Module) -> Hashable:
    """What the course of ``forward`` can depend on: its code, the kinds of the children, numbers and
    switches."""
    plain = tuple(
        (name, value)
        for name, value in vars(module).items()
        if name != "training" and isinstance(value, (bool, int, float, str, type(None)))
    )
    children = tuple((name, type(child)) for name, child in module.named_children())
    return type(module).forward, id(vars(module).get("forward")), children, plain


def _trace(module: nn.Module) -> TracedSum | None:
    was = module.training
    module.training = False  # this module's own switch: the children are not run
    try:
        options = list(inspect.signature(module.forward).parameters.values())[1:]
        fixed = {option.name: option.default for option in options if option.default is not option.empty}
        graph = _OwnForward().trace(module, fixed)
        return _find_sum(module, graph)
    # whatever a stranger's forward raises when it is given a stand-in for a tensor
    except Exception:  # noqa: BLE001
        return None
    finally:
        module.training = was


def _is_addition(node: fx.Node) -> bool:
    return (
        node.op in ("call_function", "call_method")
        and node.target in ADDITIONS
        and len(node.args) == 2
        and all(isinstance(arg, fx.Node) for arg in node.args)
    )


def _find_sum(module: nn.Module, graph: fx.Graph) -> TracedSum | None:
    nodes = list(graph.nodes)
    _follow_changes(nodes)
    start = next(node for node in nodes if node.op == "placeholder")
    depth = _depths(module, nodes, start)
    additions = [node for node in nodes if _is_addition(node)]
    for node in reversed(additions):
        first, second = (depth.get(arg) for arg in node.args)
        if first is None or second is None:
            continue  # a constant is added
        shallow, deep = sorted((first, second))
        if not (shallow < deep and shallow <= ONE_LAYER):
            return None  # two branches, or a second sum after the first: neither side goes around the other
        tail = _tail(module, nodes, node)
        if tail is None:
            return None
        around = node.args[0] if first < second else node.args[1]
        assert isinstance(around, fx.Node)
        if any(_is_addition(n) and all(arg in depth for arg in n.args) for n in _ancestors(around)):
            return None  # an earlier sum: the block has two, as those of transformers
        return TracedSum(additions.index(node), first < second, _modules_to(module, around), tail)
    return None


def _follow_changes(nodes: list[fx.Node]) -> None:
    """Let what comes after a change in place, such as ``out.add_(x)``, depend on the change."""
    for place, node in enumerate(nodes):
        if node.op == "call_method" and str(node.target).endswith("_") and isinstance(node.args[0], fx.Node):
            node.args[0].replace_all_uses_with(node, delete_user_cb=set(nodes[place + 1 :]).__contains__)


def _depths(module: nn.Module, nodes: list[fx.Node], start: fx.Node) -> dict[fx.Node, int]:
    """How much lies on the longest way from ``start`` to each node that depends on it: LAYER for each
    projection (1x1 convolution, linear layer), ONE_LAYER for each convolution of a larger kernel."""
    depth: dict[fx.Node, int] = {start: 0}
    for node in nodes:
        before = [depth[other] for other in node.all_input_nodes if other in depth]
        if before:
            own = 0
            if node.op == "call_module":
                child = module.get_submodule(str(node.target))
                own = sum(_count(layer) for layer in child.modules())
            depth[node] = max(before) + own
    return depth


def _modules_to(module: nn.Module, node: fx.Node) -> tuple[nn.Module, ...]:
    """The children of ``module`` on the way to ``node``, in order."""
    return tuple(module.get_submodule(str(n.target)) for n in _ancestors(node) if n.op == "call_module")


def _count(layer: nn.Module) -> int:
    """0 for a layer without weights; scales of channels, however shaped, are none."""
    weights = [p for p in layer.parameters(recurse=False) if p.ndim >= 2 and p.numel() > max(p.shape)]
    return ONE_LAYER if any(w.shape[2:].numel() > 1 for w in weights) else LAYER if weights else 0


def _ancestors(node: fx.Node) -> list[fx.Node]:
    """All that ``node`` is made from, itself last."""
    seen: dict[fx.Node, None] = {}

    def visit(current: fx.Node) -> None:
        if current not in seen:
            for before in current.all_input_nodes:
                visit(before)
            seen[current] = None

    visit(node)
    return list(seen)


def _tail(module: nn.Module, nodes: list[fx.Node], sum_node: fx.Node) -> Callable[[Tensor], Tensor] | None:
    """What is done to the sum until it is returned; None if more than the sum goes into the output."""
    output = next(node for node in nodes if node.op == "output")
    chain: list[fx.Node] = []
    node: Any = output.args[0]
    while node is not sum_node:
        if not isinstance(node, fx.Node) or node.op == "placeholder":
            return None
        before = [n for n in node.all_input_nodes if n.op != "get_attr"]
        if len(before) != 1:
            return None
        chain.append(node)
        node = before[0]
    graph = fx.Graph()
    copies = {sum_node: graph.placeholder("sum")}
    for node in reversed(chain):
        for other in node.all_input_nodes:
            if other.op == "get_attr":
                copies[other] = graph.node_copy(other)
        copies[node] = graph.node_copy(node, lambda n: copies[n])
    graph.output(copies[output.args[0]])  # type: ignore[index]
    tail: Callable[[Tensor], Tensor] = fx.GraphModule(module, graph)
    return tail
