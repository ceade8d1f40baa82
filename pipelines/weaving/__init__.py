"""wikiloom weave: one knowledge graph from several datasets, with the texts of another."""
