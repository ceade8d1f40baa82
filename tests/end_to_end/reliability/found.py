"""What the harnesses found, and what was mended: a line each, in the order in which it was found."""

FOUND: tuple[str, ...] = (
    "A page with `<nowıki>`, with a Turkish dotless i, ended the build with a KeyError: the scanner's regex took the "
    "letter for an i, and its table of tags did not. It is text now, as in MediaWiki.",
    "A build whose disk takes nothing any more, not even the message of the job that it failed, ended with some sixty "
    "lines of Apache Beam's; it ends with one that asks whether the disk is full.",
    "`train` on a full disk ended with a traceback where it was not a checkpoint that it wrote, but its log, its "
    "config or its curves; every command of the training half ends with one line.",
    "`train --resume` refused its own folder where a kill or a full disk had left no more than `.config.toml.tmp` in "
    "it; it begins the run.",
    "A run that was killed while its last save removed the oldest checkpoint kept half of that, under another name, "
    "for good; --resume removes it.",
    "An evaluation that was killed while it wrote what it had counted left that file beside its results, where the one "
    "that went on wrote none; it is removed with the counts.",
    "A shard whose footer names its schema in bytes that are no UTF-8, one whose column docs are nested 3,000 deep, "
    "and a manifest whose graph.split.triples is no map ended `validate` with a traceback; each is a line now.",
    "A bit of the card, of tokens/NAME/tokenizer_config.json, or of inputs and parameters in the manifest was "
    "another, and `validate` said nothing: manifests are now sealed, and name the sha256 of the files beside them.",
    "A bit of a weight in a checkpoint was another, and it was loaded: state.json now has a hash of each file and a "
    "seal of its own, and loading checks both.",
    "A table of tokens and its entry in the manifest were another dataset's, and `validate` said nothing: the digest "
    "of tokens/NAME is now compared with its tables'.",
    "A shard was a pipe, a shard's name had 5,000 letters, manifest.json was a link out of the dataset: the first "
    "could be waited for without end, the second ended in a traceback, the third was read; each is now refused.",
    "A zstd file whose first byte was damaged was read as lines of text, each a reject: what only looks like text is "
    "now told by its control characters.",
    "1 GiB of empty lines in a Wikidata dump of 100 kB took longer than 180 s; they are passed over, 32 MiB in 1 s.",
    "A link to a title of ı and an accent led to a page that is written otherwise: the capital I takes the accent in, "
    "and the title was not brought into that form.",
    "A recipe with 2,000 brackets or a number of 5,000 digits, and a --set whose bytes are no UTF-8, ended `train` "
    "with a traceback; each is refused in one line.",
    "A build that was killed twice while it wrote a table left the half written file beside the table, under another "
    "name, for good; the build that ends removes it.",
    "A run that was killed when its last checkpoint stood and the oldest was not yet removed kept one too many for "
    "good; --resume removes it.",
    "A manifest that named a table by half a pair of surrogates, or a share of pages of 1e300, ended `validate` with a "
    "traceback; the first is no manifest, and what is no share splits nothing.",
    "Checkpoints of equal weights had their headers' entries in an order of chance, and after --resume in another one; "
    "they are equal to the last byte.",
    "An evaluation that was killed while safetensors wrote what it had counted left a file of a name of chance beside "
    "its results for good; it is written under a name that is removed.",
)
