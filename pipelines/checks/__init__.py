"""The checks of wikiloom validate: files, counts, and each table against itself and the others."""
