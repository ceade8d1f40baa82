"""The model card of an export: README.md with the front matter that the Hugging Face Hub reads."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from schemas.errors import printable
from schemas.origin import IN_WORDS, licences
from training.ann import INDEX, index_metric, metric
from training.checkpoint import checkpoints
from training.checkpoint_state import read_state
from training.config import Config
from training.config_file import to_toml
from training.models.kepler import Kepler
from training.runs import Run
from training.vectors import Precision, text_vector
from wikiloom import __version__

PAPERS = {
    "colake": "CoLAKE (Sun et al., COLING 2020): one Transformer over the words, entities and relations of "
    "word-knowledge graphs",
    "mlm-only": "masked language modelling alone, on a dataset's texts: the control of systems that read its graph",
    "lmke": "LMKE (Wang et al., IJCAI 2022): a language model that reads facts, with entities and relations as tokens",
    "c-lmke": "C-LMKE (Wang et al., IJCAI 2022): a language model that reads queries, with entities and relations as "
    "tokens; of its two encoders the one of queries",
    "kepler": "KEPLER (Wang et al., TACL 2021): a text encoder trained on masked words and on the facts between the "
    "entities that it encodes the descriptions of",
    "jaket": "JAKET (Yu et al., AAAI 2022): a language model trained with a graph network over the entities of its "
    "text; of both, the language model alone",
    "lass": "LASS (Shen et al., COLING 2022): a text encoder trained to tell true facts, read as one text each, from "
    "corrupted ones",
}


@dataclasses.dataclass(frozen=True)
class Contents:
    """What an export holds beside the model: rows, None for a file that is not there."""

    entities: int | None
    texts: int | None
    index: bool
    """Of the entities' vectors."""
    precision: Precision
    """In which texts were encoded."""


def write_card(run: Run, name: str, contents: Contents, path: Path) -> None:
    """Write the card of the export `name`. It names no path of this machine."""
    config = without_paths(run.config)
    sections = (
        _front_matter(run, config),
        _head(run, config, name),
        _use(run),
        _vectors(run, contents),
        _index(run, contents),
    )
    lines = [line for section in (*sections, _training(run, config), _sharing(run)) for line in section]
    path.write_text(printable("\n".join(lines)) + "\n", encoding="utf-8")


def without_paths(config: Config) -> Config:
    """The config with the names of the folders in it, and not where they are."""
    encoder = dataclasses.replace(config.encoder, name=_bare(config.encoder.name))
    more = tuple(_bare(folder) for folder in config.data.more_folders)
    data = dataclasses.replace(config.data, folder=_bare(config.data.folder), more_folders=more)
    return dataclasses.replace(config, encoder=encoder, data=data, memory=dataclasses.replace(config.memory, folder=""))


def _bare(name: str) -> str:
    """A path's last part; a name of the Hub as it is."""
    return Path(name).name if name.startswith((".", "/", "~")) or Path(name).exists() or name.count("/") > 1 else name


def _front_matter(run: Run, config: Config) -> Iterator[str]:
    yield "---"
    yield f"license: {json.dumps(licences(run.dataset.manifest))}"
    if "language" in run.dataset.manifest.rest:
        # Quoted, for a bare no (Norwegian) is false in YAML.
        yield f"language: {json.dumps([str(run.dataset.manifest.rest['language'])])}"
    if "/" in config.encoder.name:
        yield f"base_model: {json.dumps(config.encoder.name)}"
    yield "library_name: sentence-transformers"
    yield "pipeline_tag: fill-mask"
    yield f"tags: {json.dumps(['wikiloom', config.system, 'fill-mask', 'sentence-similarity'])}"
    yield from ("---", "")


def _head(run: Run, config: Config, name: str) -> Iterator[str]:
    encoder = run.network.encoder
    sizes = encoder.config
    yield from (f"# {name}", "")
    yield f"A masked language model, pre-trained by wikiloom {__version__} with the recipe {config.recipe}:"
    yield f"{PAPERS.get(config.system, config.system)}."
    yield ""
    numbers = sum(parameter.numel() for parameter in encoder.parameters())
    layers = f"{sizes.num_hidden_layers} layers of {sizes.hidden_size}"
    origin = "random weights" if config.encoder.name == "tiny" else config.encoder.name
    yield f"- encoder: {sizes.model_type}, {layers}, {numbers:,} numbers; begun from {origin}"
    yield f"- texts: up to {config.encoder.max_positions} tokens, of a vocabulary of {run.tokenizer.get_vocab_size():,}"
    yield f"- dataset: digest `{run.dataset.digest}`"
    yield ""
    yield "This folder is the model's text side. It needs no entities and no code but transformers', and gives a text"
    yield "the states and the word logits that the whole model gives it where no entity is linked."
    yield ""


def _use(run: Run) -> Iterator[str]:
    mask = run.tokenizer.id_to_token(run.source.special.mask)
    vector = text_vector(run)
    what = "the state at the first token" if vector.pooling == "cls" else "the mean of its states"
    what += ", scaled to unit length" if vector.normalized else ""
    yield from ("## Use", "", "```python", "from transformers import AutoModel, AutoTokenizer, pipeline", "")
    yield 'tokenizer = AutoTokenizer.from_pretrained("FOLDER")'
    yield 'model = AutoModel.from_pretrained("FOLDER")'
    yield 'states = model(**tokenizer("A text.", return_tensors="pt")).last_hidden_state'
    yield f'words = pipeline("fill-mask", "FOLDER")("A text with a {mask} in it.")'
    yield from ("", "from sentence_transformers import SentenceTransformer", "")
    yield 'vectors = SentenceTransformer("FOLDER").encode(["A text.", "Another one."])'
    yield from ("```", "", f"A text's vector is {what}.", "")


def _vectors(run: Run, contents: Contents) -> Iterator[str]:
    rows = (("entities/*.parquet", contents.entities), ("texts.parquet", contents.texts))
    if all(number is None for _, number in rows):
        return
    encoded = isinstance(run.model, Kepler)
    own = "the encoding of its description" if encoded else "its row in the table of entities"
    about = (
        f"by `entity` (its Wikidata item or other id) with `label`; `vector` is {own}",
        "by `line` (of a file of texts, from 1); `vector` is that of the text, as above",
    )
    yield from ("## Vectors", "", "| file | rows | |", "|---|---|---|")
    for (name, number), text in zip(rows, about, strict=True):
        if number is not None:
            yield f"| {name} | {number:,} | {text} |"
    yield ""
    if encoded or contents.texts is not None:
        how = "matrix products in 16 bits (bf16), the rest in 32" if contents.precision == "bf16" else "32 bits"
        yield from (f"Texts were encoded in {how}; vectors are kept in 32.", "")


MEASURES = {"l1": "the L1 norm", "l2": "the L2 norm", "cosine": "the cosine: products of vectors of length 1"}
EXACT = {
    "l1": "np.abs(vectors - query).sum(axis=1)",
    "l2": "np.linalg.norm(vectors - query, axis=1)",
    "cosine": "-vectors @ query[0] / np.linalg.norm(vectors, axis=1)",
}


def _index(run: Run, contents: Contents) -> Iterator[str]:
    """What the index measures, and a query that runs."""
    if not contents.index or contents.entities is None:
        return
    wanted, measured = metric(run), index_metric(contents.entities, metric(run))
    yield from ("## Nearest entities", "")
    yield f"{INDEX} is an index of Faiss for approximate search; its row n is row n of entities/*.parquet. It measures"
    yield f"{MEASURES[measured]}. Exact ranks, as in an evaluation, take all vectors instead."
    if measured != wanted:
        yield f"The model was trained with {MEASURES[wanted]}: put 100 candidates in its order, as here."
    yield from ("", "```python", "import faiss", "import numpy as np", "import pyarrow as pa")
    yield from ("from pyarrow.dataset import dataset", "")
    yield f'index, entities = faiss.read_index("FOLDER/{INDEX}"), dataset("FOLDER/entities")'
    if isinstance(run.model, Kepler):
        yield "from sentence_transformers import SentenceTransformer"
        yield 'query = SentenceTransformer("FOLDER").encode(["The description of an entity."])'
    else:
        yield 'query = np.stack(entities.take(pa.array([0]))["vector"].to_numpy())  # whatever is near the first entity'
    if wanted == "cosine":
        yield "query = query / np.linalg.norm(query)"
    yield "rows = index.search(query, 100)[1][0]"
    yield "found = entities.take(pa.array(rows[rows >= 0]))"
    yield 'vectors = np.stack(found["vector"].to_numpy())'
    yield f"order = np.argsort({EXACT[wanted]})"
    yield 'print(found.select(["entity", "label"]).take(order[:10]).to_pylist())'
    yield from ("```", "")


def _training(run: Run, config: Config) -> Iterator[str]:
    steps = read_state(checkpoints(run.folder)[-1])["step"]
    yield from ("## Training", "", f"{steps:,} steps of this recipe (without the places of its folders):", "")
    yield from ("```toml", to_toml(config).rstrip("\n"), "```", "")


def _sharing(run: Run) -> Iterator[str]:
    words = "; ".join(IN_WORDS.get(name, name) for name in licences(run.dataset.manifest))
    yield from ("## Licences", "", f"Of what it learned from: {words}.")
    if run.config.encoder.name != "tiny":
        yield "The weights that it was begun from have a licence of their own."
