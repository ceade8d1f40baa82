"""wikiloom import: published benchmarks, and one's own knowledge graph, into the tables of a dataset."""
