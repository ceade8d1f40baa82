"""wikiloom tokenize beside the bare `tokenizers` library, interleaved in one run, CPU time, one thread each.

    python benchmarks/tokenize.py [--data DATASET] [--tokenizer FOLDER] [--rounds N]

Bare is encode_batch on texts that are in memory, with its result thrown away (encode_batch_fast where offsets are not
needed). Ours reads Parquet, encodes, splices anchors, writes runs, merges them into Parquet and digests the rows:
what a worker does, without Beam's start. Without a dataset one is built of enwiki-sample in the folder WIKILOOM_DATA,
else of examples/, repeated to DUMP_MB; without a tokenizer, Unigram and BPE are trained on it. Writes
results/tokenize.json.
"""

import os
import sys

if __name__ == "__main__":
    from benchmarks.tokenize_measures import main

    main(__doc__)
elif __name__ == "tokenize":
    # `python benchmarks/ANY.py` looks for modules in this folder first, also for the standard library's of this name.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]
    del sys.modules["tokenize"]
    import tokenize  # noqa: F401
