"""The model card of an export: README.md with the front matter that the Hugging Face Hub reads."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from schemas.errors import printable
from schemas.origin import IN_WORDS, licences
from training.checkpoint import checkpoints, read_state
from training.config import Config
from training.config_file import to_toml
from training.models.kepler import Kepler
from training.runs import Run
from training.vectors import pooling
from wikiloom import __version__

PAPERS = {
    "colake": "CoLAKE (Sun et al., COLING 2020): one Transformer over the words, entities and relations of "
    "word-knowledge graphs",
    "mlm-only": "masked language modelling alone, on a dataset's texts: the control of systems that read its graph",
    "kepler": "KEPLER (Wang et al., TACL 2021): a text encoder trained on masked words and on the facts between the "
    "entities that it encodes the descriptions of",
}


@dataclasses.dataclass(frozen=True)
class Contents:
    """What an export holds beside the model: rows, None for a file that is not there."""

    entities: int | None
    texts: int | None


def write_card(run: Run, name: str, contents: Contents, path: Path) -> None:
    """Write the card of the export `name`. It names no path of this machine."""
    config = without_paths(run.config)
    sections = (_front_matter(run, config), _head(run, config, name), _use(run), _files(run, contents))
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
    what = "the state at the first token" if pooling(run) == "cls" else "the mean of its states"
    yield from ("## Use", "", "```python", "from transformers import AutoModel, AutoTokenizer, pipeline", "")
    yield 'tokenizer = AutoTokenizer.from_pretrained("FOLDER")'
    yield 'model = AutoModel.from_pretrained("FOLDER")'
    yield 'states = model(**tokenizer("A text.", return_tensors="pt")).last_hidden_state'
    yield f'words = pipeline("fill-mask", "FOLDER")("A text with a {mask} in it.")'
    yield from ("", "from sentence_transformers import SentenceTransformer", "")
    yield 'vectors = SentenceTransformer("FOLDER").encode(["A text.", "Another one."])'
    yield from ("```", "", f"A text's vector is {what}.", "")


def _files(run: Run, contents: Contents) -> Iterator[str]:
    rows = (("entities", contents.entities), ("texts", contents.texts))
    if all(number is None for _, number in rows):
        return
    own = "the encoding of its description" if isinstance(run.model, Kepler) else "its row in the table of entities"
    about = {
        "entities": f"by `entity` (its Wikidata item or other id) with `label`; `vector` is {own}",
        "texts": "by `line` (of a file of texts, from 1); `vector` is that of the text, as above",
    }
    yield from ("## Vectors", "", "| file | rows | |", "|---|---|---|")
    for name, number in rows:
        if number is not None:
            yield f"| {name}.parquet | {number:,} | {about[name]} |"
    yield ""


def _training(run: Run, config: Config) -> Iterator[str]:
    steps = read_state(checkpoints(run.folder)[-1])["step"]
    yield from ("## Training", "", f"{steps:,} steps of this recipe (without the places of its folders):", "")
    yield from ("```toml", to_toml(config).rstrip("\n"), "```", "")


def _sharing(run: Run) -> Iterator[str]:
    words = "; ".join(IN_WORDS.get(name, name) for name in licences(run.dataset.manifest))
    yield from ("## Licences", "", f"Of what it learned from: {words}.")
    if run.config.encoder.name != "tiny":
        yield "The weights that it was begun from have a licence of their own."
