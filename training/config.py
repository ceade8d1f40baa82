"""What a run can be told: frozen dataclasses, one a section of a recipe's TOML."""

import dataclasses
from typing import Annotated, Literal

from pydantic import Field

from training.config_jaket import JaketConfig
from training.config_types import AboveZero, Chance, Count, Pooling, Positive, Share, Weight


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What is read, and in what order."""

    folder: str = ""
    """The dataset; --data writes it here."""
    digest: str = ""
    """Its logical digest; a run refuses another."""
    more_folders: tuple[str, ...] = ()
    """Further datasets; each --data after the first writes one here."""
    more_digests: tuple[str, ...] = ()
    """Their logical digests."""
    split: Literal["transductive", "inductive"] = "transductive"
    """Which triples are train and valid: by the dataset's column `split`, or by `inductive_split`, whose train has none
    of the entities that valid and test ask about. KEPLER then draws no such entity as a negative, and reads no
    description of one as text; to JAKET none is linked, a neighbour, a negative or asked for either."""
    tokens: str = "tiny"
    """The token ids to train on: the dataset's tokens/NAME."""
    vocab_size: Positive = 4_000
    """Words of the vocabulary, where train has to make tokens/NAME for the tiny encoder."""
    lanes: Positive = 64
    """The rows are cut into this many lanes, at most one a row group; a batch takes equally many rows of each."""
    window: Positive = 4_096
    """Rows of a lane that are shuffled together: lanes x window rows are held in memory, shared among the ranks."""
    threads: Positive = 1
    """Threads that decode."""
    ahead: Count = 4
    """Batches made before the loop asks for them, by a thread of their own; 0 for none."""
    workers: Count = 0
    """Processes that read in place of the threads."""
    on_corrupt: Literal["fail", "quarantine"] = "fail"
    """What a damaged row group does: end the run, or be left out (on all ranks, counted, and saved with the run)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The Transformer."""

    name: str = "tiny"
    """tiny (built from the sizes below), or a Hugging Face name or local folder (which brings its own sizes)."""
    hidden_size: Positive = 128
    layers: Positive = 2
    heads: Positive = 4
    intermediate_size: Positive = 512
    max_positions: Positive = 512
    dropout: Share = 0.1
    """Of states and attention, in every encoder; on a CPU, attention without it takes far less memory and time."""
    frozen: bool = False
    """Its weights stay as they are: only what stands upon them learns (heads, relations, entity rows)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW and its schedule."""

    lr: AboveZero = 1e-4
    beta1: Share = 0.9
    beta2: Share = 0.98
    eps: AboveZero = 1e-6
    weight_decay: Weight = 0.01
    clip_norm: Weight = 1.0
    """Gradients are scaled to at most this norm; 0 for no clipping."""
    schedule: Literal["constant", "linear", "polynomial"] = "constant"
    warmup_steps: Count = 0
    power: AboveZero = 1.0
    """Of the polynomial schedule."""
    rest_scale: AboveZero = 1.0
    """The learning rate of all but the encoders' own weights, as a multiple of lr: rows of entities and relations, and
    what stands upon the encoder."""
    rest_warmup: bool = True
    """The warm-up is for these as well."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The loop. Budgets are steps, never time."""

    steps: Positive = 300
    batch_size: Positive = 32
    """Samples per optimiser step: graphs for CoLAKE, texts for mlm-only, windows of text for JAKET, triples for all
    others."""
    micro_batch: Count = 0
    """Samples per forward pass, gradients accumulated exactly; 0 for the whole batch at once."""
    log_every: Positive = 10
    valid_every: Positive = 100
    valid_batches: Positive = 8
    valid_rows: Positive = 32
    """A valid split with fewer rows gives way to a slice of train that is held out, and train says so."""
    save_every: Positive = 100
    keep: Positive = 2
    """Checkpoints kept."""
    flat_memory: bool = True
    """On a CPU: memory does not grow by fragments of the heap, at the price of some time (the less the larger the
    model)."""
    async_save: bool = True
    """Train on while a copy of the checkpoint is written; the copy takes 12 bytes of the host's memory a parameter."""
    threads: Count = 0
    """CPU threads; 0 for OMP_NUM_THREADS, else min(2, cores). A resumed run is bit-identical only at the same
    number."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: cuda where there is one. By torchrun, each rank has a device of its own."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: matrix products in 16 bits (autocast); weights, moments, entity rows and losses stay in 32."""
    compile: bool = False
    """The encoder by torch.compile: needs a C++ compiler, and minutes at the start."""
    deterministic: bool = True
    """Operations that give the same bits each time, where there are such; slower on cuda."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """By torchrun. ddp: each rank has the whole model; fsdp: a share of weights, gradients and moments."""
    rank_timeout: Positive = 600
    """Seconds that a rank waits for another one that lives; one that is dead ends the run in half a minute."""
    peak_tflops: Weight = 0.0
    """What the device can compute, for the share of it (MFU) in the log; 0 for what is known of it by its name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """CoLAKE's entity table: where its rows live, and how those that a step used are updated. Of JAKET's context memory
    the backend alone counts: on a host, each rank has its own.

    optim.weight_decay and optim.clip_norm are not for them: the rows are no parameters of the model.
    """

    backend: Literal["device", "host", "sharded"] = "device"
    """device: a copy beside the model of each rank; host: one in memory that the ranks of a host share; sharded: row i
    on rank i mod ranks."""
    optimizer: Literal["adam", "adagrad"] = "adam"
    """adam: sparse Adam, two moments for each number; adagrad: row-wise, one number for each row."""
    synchronous: bool = True
    """host: the ranks' gradients are averaged, with the same bits in every run; false: each rank updates at once,
    without locks, as the authors' store does. The other backends are always synchronous."""
    folder: str = ""
    """host: where the shared file is, which has no name while it is used; empty for /dev/shm. On a disk, a table may be
    larger than the memory."""
    lr_scale: AboveZero = 1.0
    """The rows' learning rate, as a multiple of the model's."""
    beta1: Share = 0.9
    beta2: Share = 0.999
    eps: AboveZero = 1e-8


@dataclasses.dataclass(frozen=True, kw_only=True)
class ColakeConfig:
    """CoLAKE's objective; the defaults are the paper's."""

    max_nodes: Positive = 256
    """Nodes of a graph; facts that would exceed it are left out, and counted in the log."""
    drop_neighbours: Chance = 0.5
    """Chance that an anchor loses all its facts, drawn anew each epoch; 1 for a model that never sees a fact."""
    masking: Literal["paper", "code"] = "paper"
    """paper: mask_share of the nodes of each kind, part of a node by chance, so that a list of any length has that
    share on average; code: the same rounded, at least 1 and at most 15 of each kind, and every other anchor is
    predicted as well, 80 % of them unchanged, 10 % masked, 10 % random."""
    mask_share: Share = 0.15
    encode_graphs: Positive = 16
    """Graphs encoded at a time; those of like size go together."""
    negatives: Positive = 200
    """Drawn per distinct gold entity of a micro-batch, shared by all its predictions."""
    logq: bool = False
    """Correct the negatives' logits for the chance to be drawn, so that the sum over the candidates stands for the one
    over all entities; neither the paper nor the code does."""
    word_weight: Weight = 1.0
    entity_weight: Weight = 1.0
    relation_weight: Weight = 1.0
    initial_rows: Literal["names", "random"] = "names"
    """What entities and relations begin as: the mean of their label and aliases, a name being the mean of its tokens'
    embeddings; or random numbers of the same spread."""
    compat: bool = False
    """The encoder's weights have position 0 in row 0 of their table, as the released ones do and RoBERTa's do not: the
    table is moved once, when the weights are read, to where everybody reads it (training, prediction, exports)."""
    flat: bool = False
    """An ablation: all nodes are of one type, and their positions are their places in the order of nodes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeplerConfig:
    """KEPLER's objective; the defaults are the paper's."""

    norm: Literal[1, 2] = 1
    """p of ||h + r - t||_p, in the loss and in the ranking."""
    gamma: AboveZero = 4.0
    """The margin."""
    negatives: Count = 1
    """Corrupted heads, and as many corrupted tails, per triple; 0 leaves it to the options below."""
    loss: Literal["margin", "infonce"] = "margin"
    """margin: eq. 2; infonce: cross-entropy of the answer among its negatives, the mean of both sides (Wang et al.,
    SimKGC, ACL 2022)."""
    score: Literal["distance", "cosine"] = "distance"
    """Of a query and an entity, in the loss and in the ranking: -||h + r - t||_p, or their cosine, which is for
    infonce."""
    temperature: AboveZero = 0.05
    """Of infonce: scores are divided by it. SimKGC's is for cosines; distances need one of their own size, say 1."""
    learn_temperature: bool = False
    """The temperature is a parameter, and begins as that."""
    additive_margin: Weight = 0.0
    """Of infonce: taken from the answer's score."""
    two_way: bool = False
    """Of infonce: each answer's query is told from all queries of the micro-batch too, as SimKGC adds."""
    in_batch: bool = False
    """All other entities of the micro-batch are negatives of every triple, the drawn ones of other triples too."""
    self_negatives: bool = False
    """A triple's head is a negative of its tail, and its tail one of its head; in_batch leaves them out without."""
    pre_batch: Count = 0
    """The entities of so many micro-batches before are negatives as well, by the vectors that they had then. Needs one
    rank; validation is without them."""
    pre_batch_weight: AboveZero = 1.0
    """What one of them weighs beside another negative; of infonce, what its score is multiplied by, as SimKGC does."""
    self_adversarial: Weight = 0.0
    """Temperature that weighs the nearer negatives of the margin loss more (Sun et al., ICLR 2019); 0 weighs all alike,
    as the paper."""
    halved: bool = False
    """Half the margin loss, as the authors' code has it."""
    relations: Literal["table", "described"] = "table"
    """A relation's vector. described: the encoding of its description (KEPLER-Rel)."""
    conditioned: bool = False
    """What a question gives of an entity is the encoding of its description with the relation's behind it
    (KEPLER-Cond)."""
    second_batch: Count = 0
    """Triples per step of a second graph, the second --data (KEPLER-W+W), beside train.batch_size of the first; 0 for
    none."""
    second_gamma: AboveZero = 1.0
    """The second graph's margin; its table of relations is its own too."""
    second_weight: Weight = 1.0
    """Of the second graph's loss."""
    pooling: Pooling = "cls"
    """A description's vector: the state at <s>, as the paper, or the mean over all tokens, which sentence encoders such
    as MiniLM were trained by."""
    normalized: bool = False
    """Descriptions' vectors have unit length, as sentence encoders give them: one that is long hides what a relation
    adds to it."""
    max_length: Annotated[int, Field(ge=4)] = 512
    """Tokens of a description, specials included."""
    relation_length: Annotated[int, Field(ge=4)] = 64
    """Tokens of a relation's description, specials included, where relations are described or conditioned on."""
    corpus: Literal["pages", "descriptions"] = "pages"
    """What masked language modelling reads: the datasets' pages, or the entities' descriptions (KEPLER-OnlyDesc), which
    also stand in where there are no pages."""
    block_length: Positive = 512
    """Tokens of a masked-language-model block, specials included."""
    blocks: Count = 32
    """Blocks per step; 0 for no masked language modelling (KEPLER-KE)."""
    encode_tokens: Positive = 8_192
    """Padded tokens encoded at a time; descriptions of like length go together."""
    recompute: bool = False
    """Encode each such piece again for its gradient: up to a third more work, the memory of one alone."""
    mask_share: Share = 0.15
    ke_weight: Weight = 1.0
    mlm_weight: Weight = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class MlmConfig:
    """Masked language modelling alone, the control of the systems that have a graph."""

    corpus: Literal["passages", "pages"] = "passages"
    """passages: the texts of the word-knowledge graphs with their mentions, which CoLAKE reads; pages: whole, cut into
    blocks, which KEPLER reads."""
    block_length: Positive = 256
    """Tokens of a text, specials included; a longer one is cut into several."""
    encode_tokens: Positive = 8_192
    """Padded tokens encoded at a time; texts of like length go together."""
    mask_share: Share = 0.15


@dataclasses.dataclass(frozen=True, kw_only=True)
class LmkeConfig:
    """LMKE's and C-LMKE's objectives; the defaults are the paper's."""

    texts: Literal["descriptions", "names", "both"] = "descriptions"
    """What is read of entities and relations; one without a description is read by its name. both: the name, then the
    description, unless that begins with the name."""
    entity_length: Count = 241
    """Tokens of an entity's text in a fact; 0 leaves its own token alone."""
    relation_length: Count = 16
    """Tokens of a relation's text."""
    key_length: Count = 508
    """Tokens of an entity's text where it is matched with queries (C-LMKE)."""
    initial_rows: Literal["names", "random"] = "names"
    """What the tokens of entities and relations begin as: the mean of their names' words, and masks as </s>, at which
    an encoder of sentences says what they are about; or random numbers of the encoder's own spread."""
    negatives: Positive = 1
    """Corrupted triples for each, its head or its tail replaced, drawn anew each epoch (LMKE)."""
    variant: Literal["contrastive", "masked"] = "contrastive"
    """C-LMKE. contrastive: queries are matched with encoded entities; masked: a query's output at its mask is
    classified among all entities, none of which is encoded (MEM-KGC)."""
    keys: Literal["side", "batch", "all"] = "side"
    """What a query is matched with while training. side: the micro-batch's heads, or its tails; batch: both; all: every
    entity, each encoded at every step, which is for graphs of few entities."""
    repeated_keys: bool = False
    """An entity that is a head (or tail) twice in the micro-batch counts twice, as in the authors' code."""
    degrees: bool = True
    """The matcher is told the degrees in train of what is given and of what is matched."""
    initial_matcher: Literal["random", "product"] = "random"
    """What the matcher's logit begins as. product: the product of query and key, divided by the root of their size."""
    matcher_hidden: Count = 0
    """Of the matcher's hidden layer; 0 for the encoder's size."""
    self_adversarial: Literal["detached", "attached", "off"] = "detached"
    """Negatives weigh by the softmax of their probability, through which no gradient goes (detached) or one does, as in
    the authors' code; off: all alike."""
    adversarial_temperature: Annotated[float, Field(ge=0.02, allow_inf_nan=False)] = 1.0
    """The probabilities are divided by it in that softmax. At the paper's 1 no negative weighs e times what another
    does, so that the hardest of thousands hardly count; at 0.1, up to 22,000 times."""
    summed: bool = False
    """The loss is the sum over the queries of a step, as in the authors' code, and not their mean."""
    encode_tokens: Positive = 4_096
    """Padded tokens encoded at a time; texts of like length go together."""
    recompute: bool = False
    """Encode each such piece again for its gradient: up to a third more work, the memory of one alone."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LassConfig:
    """LASS's objective; the defaults are what the authors ran for link prediction."""

    head: Literal["mean", "cls"] = "mean"
    """What scores a fact that is read as one text. mean: the translation between the means over its three parts; cls: a
    linear classifier of the state at <s> (KG-BERT)."""
    texts: Literal["descriptions", "names"] = "descriptions"
    """What is read of entities and relations; one without a description is read by its name."""
    separators: bool = False
    """One </s> between the parts, as the paper has it and the authors' scripts do not."""
    scaled: bool = True
    """The squared norm is divided by the root of the hidden size, as in the authors' code and not in the paper."""
    offset: Annotated[float, Field(allow_inf_nan=False)] = 7.0
    """b of f = b - 1/2 ||h + r - t||^2."""
    corrupted: Literal["all", "entity"] = "all"
    """all: `negatives` with another head, as many with another relation, as many with another tail; entity: `negatives`
    in all, each with another head or another tail by a coin (the authors' triple classification, with 1)."""
    negatives: Positive = 5
    """Drawn for each triple and kind, anew each epoch, filtered against train facts."""
    positive_weight: Literal["code", "paper"] = "code"
    """What a true triple weighs beside a false one. code: the same; paper: once for each kind of negatives, 3 times
    with corrupted = all."""
    max_length: Annotated[int, Field(ge=8)] = 192
    """Tokens of a fact, specials included: the longest part is cut until it fits."""
    encode_tokens: Positive = 8_192
    """Padded tokens encoded at a time; facts of like length go together."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """A whole run: recipe, --set and dataset together."""

    recipe: str
    system: Literal["colake", "kepler", "mlm-only", "lmke", "c-lmke", "lass", "jaket"]
    about: str = ""
    """One line for wikiloom recipes."""
    seed: Count = 0
    data: DataConfig = DataConfig()
    encoder: EncoderConfig = EncoderConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    colake: ColakeConfig = ColakeConfig()
    memory: MemoryConfig = MemoryConfig()
    kepler: KeplerConfig = KeplerConfig()
    mlm: MlmConfig = MlmConfig()
    lmke: LmkeConfig = LmkeConfig()
    lass: LassConfig = LassConfig()
    jaket: JaketConfig = dataclasses.field(default_factory=JaketConfig)
