"""What no code of the project may do: run what it has read, or take it apart by a parser that leaves the file."""

import ast
from collections.abc import Callable, Iterator

PICKLES = {
    "pickle",
    "_pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
    "jsonpickle",
    "pickle5",
}
RUNS_TEXT = {"eval", "exec", "compile", "__import__"}
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "commands.getoutput"}
UNPICKLES = {
    "pd.read_pickle",
    "pandas.read_pickle",
    "torch.jit.load",
    "torch.package.PackageImporter",
    "torch.hub.load",
    "torch.export.load",
    "pa.deserialize",
}
XML = {"xml", "xmlrpc"}
CLOSED = {"resolve_entities": False, "no_network": True, "load_dtd": False, "huge_tree": False}
"""How an XML parser has to be made."""


def broken(source: str) -> Iterator[tuple[str, int]]:
    """(rule, line) for each that a module breaks."""
    tree = ast.parse(source)
    archives = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from ((rule, node.lineno) for name in names if (rule := _import(name)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in ("0.0.0.0", "::"):
            yield "listens to all", node.lineno
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            arguments = {word.arg: word.value for word in node.keywords}
            given = {key: value.value for key, value in arguments.items() if isinstance(value, ast.Constant)}
            yield from ((rule, node.lineno) for rule, test in CALLS.items() if test(name, given, set(arguments)))
            if archives & {"tarfile", "zipfile"} and name.rpartition(".")[2] in ("extract", "extractall"):
                yield "extracts an archive", node.lineno


def _import(name: str) -> str:
    root = name.partition(".")[0]
    if root in PICKLES:
        return "pickle"
    return "another XML parser" if root in XML and name != "xml.sax.saxutils" else ""


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _opens_xml(name: str, given: dict, arguments: set) -> bool:
    if name in ("etree.iterparse", "etree.parse", "lxml.etree.parse", "objectify.parse", "etree.HTMLParser"):
        return True
    makes = _last(name) in ("XMLParser", "ETCompatXMLParser", "XMLPullParser")
    return makes and any(given.get(key) is not value for key, value in CLOSED.items())


CALLS: dict[str, Callable[[str, dict, set], bool]] = {
    "runs text": lambda name, given, arguments: name in RUNS_TEXT,
    "a shell": lambda name, given, arguments: (
        name in SHELLS or ("shell" in arguments and given.get("shell") is not False)
    ),
    "unpickles": lambda name, given, arguments: (
        name in UNPICKLES
        or ("allow_pickle" in arguments and given.get("allow_pickle") is not False)
        or (_last(name).endswith("_object_list") or _last(name) in ("all_gather_object", "gather_object"))
    ),
    "torch.load": lambda name, given, arguments: name in ("torch.load", "torch.serialization.load"),
    "torch.load without weights_only": lambda name, given, arguments: (
        name in ("torch.load", "torch.serialization.load") and given.get("weights_only") is not True
    ),
    "adds to what torch.load may make": lambda name, given, arguments: (
        _last(name) in ("add_safe_globals", "safe_globals")
    ),
    "yaml": lambda name, given, arguments: (
        name.startswith("yaml.") and _last(name) in ("load", "load_all", "full_load", "unsafe_load", "unsafe_load_all")
    ),
    "code of a model's folder": lambda name, given, arguments: (
        given.get("trust_remote_code", False) is not False
        or (_last(name) == "from_pretrained" and not {"trust_remote_code", None} & arguments)
        or (name in ("transformers.pipeline", "SentenceTransformer") and "trust_remote_code" not in arguments)
    ),
    "an open XML parser": _opens_xml,
    "unpacks an archive": lambda name, given, arguments: name == "shutil.unpack_archive",
    "a guessable temporary name": lambda name, given, arguments: name in ("tempfile.mktemp", "os.tempnam", "os.tmpnam"),
    "an unchecked certificate": lambda name, given, arguments: (
        _last(name) == "_create_unverified_context" or given.get("verify", True) is False
    ),
}
