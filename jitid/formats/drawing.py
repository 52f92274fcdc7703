"""Delegation trees as drawings: for a terminal, and as Mermaid or Graphviz source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jitid.formats.cell import cell
from jitid.values.text import safe

Node = Mapping[str, Any]
"""One identity by the names of its columns; `id` and `parent` join them."""


def nested(nodes: Sequence[Node]) -> list[dict[str, Any]]:
    """Return the trees with each node's children under `children`."""
    copies = {node["id"]: {**node, "children": []} for node in nodes}
    roots: list[dict[str, Any]] = []
    for node in copies.values():
        parent = copies.get(node["parent"])
        (roots if parent is None else parent["children"]).append(node)
    return roots


def text(nodes: Sequence[Node], colour: bool) -> str:
    """Return the trees drawn for a terminal."""
    from rich.text import Text
    from rich.tree import Tree

    from jitid.formats.table import drawn, terminal_width

    room = terminal_width()
    # A loop instead of recursion, because a chain may be deep.
    branches: dict[str, Tree] = {}
    for node in nodes:
        label = Text(_label(node, room), style="" if node["state"] == "active" else "dim")
        parent = branches.get(node["parent"])
        if parent is None:
            top = Tree(Text(cell(node["delegator"]), style="bold"))
            branches[node["id"]] = top.add(label)
            branches[f"top {node['id']}"] = top
        else:
            branches[node["id"]] = parent.add(label)
    # Rich cuts lines that are wider than the console, and an id must stay whole: the terminal may fold the line.
    return "".join(drawn(tree, 1 << 16, colour) for name, tree in branches.items() if name.startswith("top "))


def _label(node: Node, room: int) -> str:
    # Each branch is indented by four; an id that the terminal would fold goes on a separate line.
    room_left = room - 4 * (node["depth"] + 1)
    summary = f"{cell(node['agent'])} on {cell(node['task'])}: {node['state']}"
    fits = len(summary) + 1 + len(node["id"]) <= room_left
    if len(summary) > room_left:
        summary = f"{cell(node['agent'])}\non {cell(node['task'])}: {node['state']}"
    scopes = f"\n{cell(node['scopes'])}" if node["scopes"] else ""
    return f"{summary}{' ' if fits else chr(10)}{node['id']}{scopes}"


def mermaid(nodes: Iterable[Node]) -> str:
    """Return the source of a Mermaid flowchart."""
    lines = ["flowchart TD"]
    for node in nodes:
        lines.append(f'    {node["id"]}["{_entities(_short(node))}"]')
        if node["parent"] is None:
            lines.append(
                f'    {_key(node["delegator"])}(["{_entities(node["delegator"])}"]) --> {node["id"]}'
            )
        else:
            lines.append(f"    {node['parent']} --> {node['id']}")
    return "\n".join(lines) + "\n"


def dot(nodes: Iterable[Node]) -> str:
    """Return the source of a Graphviz digraph."""
    lines = ["digraph delegation {", "    node [shape=box];"]
    for node in nodes:
        style = "" if node["state"] == "active" else ", style=dashed"
        lines.append(f"    {_quoted(node['id'])} [label={_quoted(_short(node))}{style}];")
        source = node["parent"] or node["delegator"]
        lines.append(f"    {_quoted(source)} -> {_quoted(node['id'])};")
    return "\n".join([*lines, "}"]) + "\n"


def _short(node: Node) -> str:
    return f"{node['agent']} on {node['task']} ({node['state']})"


def _key(name: str) -> str:
    return "d_" + name.encode().hex()


def _entities(value: str) -> str:
    """Return text for a Mermaid label: everything but plain characters as an entity."""
    return "".join(
        [char if char.isalnum() or char in " .-_:@/()" else f"#{ord(char)};" for char in safe(value)]
    )


def _quoted(value: str) -> str:
    escaped = safe(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
