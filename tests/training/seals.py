"""A checkpoint changed on purpose, sealed again: only a check of what it says can find the fault."""

import json

from training.checkpoint_state import write_hashes, write_state


def reseal(folder, change=lambda state: None):
    """Change what state.json says, and make it fit the files again."""
    state = json.loads((folder / "state.json").read_text())
    change(state)
    write_hashes(folder, sorted(folder.rglob("*.safetensors")), 0)
    write_state(folder, state, 1)
