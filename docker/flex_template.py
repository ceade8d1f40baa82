"""What Dataflow's Flex Template launcher runs: wikiloom build with the template's parameters as its options."""

import sys

from wikiloom import main

if __name__ == "__main__":
    sys.exit(main(["build", *sys.argv[1:]]))
