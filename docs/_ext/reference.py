"""The API reference: entries from the docstrings, and none may be missing.

`{public} PREFIX ...` documents every public name that is defined in a module which
begins with one of the prefixes. `{summary}` lists all of them. Names in code style
link to their entries. A build ends with an error when a public name has no entry.
"""

import inspect
import re
import sys
from collections.abc import Iterable
from typing import Any

import docstrings
import properties
import public
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective

FENCE = "`" * 6  # longer than any inside


def is_namedtuple(value: Any) -> bool:
    return isinstance(value, type) and hasattr(value, "_fields")


def entry(name: public.Name) -> str:
    """The entry of a name, as Markdown for the Python domain."""
    if name.kind == "data":
        return _constant(name)
    value = name.value
    body = docstrings.markdown(_own_doc(value))
    if name.kind == "class":
        body += _fields(value) + "".join(_methods(value))
        return _object("class", name.path, body)
    return _object("function", name.path + docstrings.signature(value), body)


def _object(kind: str, signature: str, body: str) -> str:
    return f"{FENCE}{{py:{kind}}} {signature}\n{body}\n{FENCE}\n\n"


def _own_doc(value: Any) -> str:
    text = inspect.getdoc(value) or ""
    # A NamedTuple without a docstring has one made of its fields.
    made = is_namedtuple(value) and text.startswith(f"{value.__name__}(")
    return "" if made else text


def _constant(name: public.Name) -> str:
    value, comment = public.constant(name.home, name.path.rpartition(".")[2])
    options = f":value: {value}\n\n" if value else ""
    comment = docstrings.escaped(comment)
    return _object("data", name.path, options + comment[:1].upper() + comment[1:])


def _fields(cls: type) -> str:
    if not is_namedtuple(cls):
        return ""
    lines = []
    for field, comment in public.fields(cls).items():
        said = f": {docstrings.escaped(comment)}" if comment else ""
        lines.append(f"- **`{field}`**{said}")
    return "\n\n" + "\n".join(lines) + "\n\n"


def _methods(cls: type) -> Iterable[str]:
    listed = getattr(cls, "_fields", ())
    for name, member in vars(cls).items():
        fn = getattr(member, "__func__", member)
        if name.startswith("_") or name in listed or not inspect.isfunction(fn):
            continue
        kind = "classmethod" if isinstance(member, classmethod) else "method"
        arguments = docstrings.signature(getattr(cls, name) if fn is not member else fn)
        arguments = re.sub(r"\(self(, )?", "(", arguments)
        body = docstrings.markdown(inspect.getdoc(fn) or "")
        # Shorter than the fence of the class that it stands in.
        inner = FENCE[:-1]
        yield f"\n{inner}{{py:{kind}}} {name}{arguments}\n{body}\n{inner}\n"


class Public(SphinxDirective):
    """The entries of all public names from some modules."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        prefixes = self.arguments[0].split()
        domain = self.env.domains.python_domain
        found: list[nodes.Node] = []
        self.env.ref_context["py:module"] = "gradtx"
        names = public.names()
        chosen = [n for n in names if belongs(n.home, prefixes)]
        if not chosen:
            raise self.error(f"no public name is defined in {' or '.join(prefixes)}")
        for name in sorted(chosen, key=lambda n: _place(n, prefixes)):
            if name.same_as is not None:
                continue
            found += self.parse_text_to_nodes(entry(name))
            target = f"gradtx.{name.path}"
            for other in (n for n in names if n.same_as == name.path):
                domain.note_object(
                    f"gradtx.{other.path}", name.kind, target, aliased=True
                )
        for home in {n.home for n in chosen}:
            self.env.note_dependency(sys.modules[home].__file__ or "")
        return found


def _place(name: public.Name, prefixes: list[str]) -> tuple[bool, int, str, bool, int]:
    """Functions in the order of the prefixes and of writing, then types of states.

    Of an algorithm's module the optimizer comes first, then the steps it is made of.
    """
    step = name.home.startswith("gradtx.optimizers.") and (
        name.path not in properties.optimizers()
    )
    try:
        line = inspect.getsourcelines(inspect.unwrap(name.value))[1]
    except TypeError:  # the alias of a type
        line = 0
    first = next(i for i, prefix in enumerate(prefixes) if belongs(name.home, [prefix]))
    return name.kind == "class", first, name.home, step, line


def belongs(home: str, prefixes: Iterable[str]) -> bool:
    return any(home == p or home.startswith(p + ".") for p in prefixes)


class Summary(SphinxDirective):
    """A table of all public names with what they are."""

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # a name may come from anywhere
        spaces: dict[str, list[public.Name]] = {}
        for name in public.names():
            spaces.setdefault(name.path.rpartition(".")[0], []).append(name)
        parts = []
        for space, names in sorted(spaces.items()):
            parts += [f"**{space or 'gradtx'}**", "", "| name | |", "|---|---|"]
            names.sort(key=lambda name: name.path.lower())
            parts += [f"| `{name.path}` | {_said(name)} |" for name in names]
            parts.append("")
        return self.parse_text_to_nodes("\n".join(parts))


def _said(name: public.Name) -> str:
    """What a name is, in a cell of a table."""
    if name.same_as is not None:
        return f"the same as `{name.same_as}`"
    if is_namedtuple(name.value) and not _own_doc(name.value):
        return "fields: " + ", ".join(f"**`{f}`**" for f in name.value._fields)
    said = docstrings.first_line(name.value)
    if name.kind == "data":
        value, said = public.constant(name.home, name.path.rpartition(".")[2])
        said = said or (value and f"`{value}`")
    return docstrings.escaped(said).replace("|", "\\|")


class Links(SphinxTransform):
    """Code that is a public name, or a call of one, links to its entry."""

    default_priority = 400  # before references are resolved
    call = re.compile(r"(?:gradtx\.)?([A-Za-z_][\w.]*)(?:\([^()]*\))?")

    def apply(self, **kwargs: Any) -> None:
        known = {n.path for n in public.names()}
        for literal in list(self.document.findall(nodes.literal)):
            found = self.call.fullmatch(literal.astext())
            if found is None or found[1] not in known or self.taken(literal):
                continue
            link = pending_xref(
                "",
                refdomain="py",
                reftype="obj",
                reftarget=f"gradtx.{found[1]}",
                refdoc=self.env.docname,
                refexplicit=True,
                refwarn=True,
            )
            literal.replace_self(link)
            link += literal

    @staticmethod
    def taken(node: nodes.Node | None) -> bool:
        """Whether it is in a link, or in bold, as arguments and fields are, which may
        have the name of a function."""
        kinds = (nodes.reference, nodes.strong, pending_xref)
        while node is not None and not isinstance(node, kinds):
            node = node.parent
        return node is not None


def missing(objects: Iterable[str]) -> list[str]:
    """The public names that have no entry among the objects."""
    have = set(objects)
    return [n.path for n in public.names() if f"gradtx.{n.path}" not in have]


def check(app: Sphinx, exception: Exception | None) -> None:
    """The gate: a build without an entry for each public name fails."""
    if exception is None and (left := missing(app.env.domains.python_domain.objects)):
        raise ExtensionError(
            f"no entry in the API reference for {', '.join(left)}. Give the module "
            f"that defines it to a {{public}} directive in docs/api."
        )


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("public", Public)
    app.add_directive("summary", Summary)
    app.add_transform(Links)
    # Last: what others do then, the theme among them, is done.
    app.connect("build-finished", check, priority=900)
    return {"version": "1", "parallel_read_safe": True}
