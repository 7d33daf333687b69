"""A process that appends to a log for ever and says, after each append, that it returned. It is there to be killed."""

import sys
from pathlib import Path

from evertrain.core.identity import ServiceName
from evertrain.core.prediction import Labelled
from evertrain.core.time import Instant
from evertrain.store.log import LogWriter


def main() -> None:
    writer = LogWriter(Path(sys.argv[1]), "w0", segment_bytes=int(sys.argv[2]), sync_interval_s=0.005)
    number = int(sys.argv[3])
    while True:
        writer.append(
            Labelled(
                service=ServiceName("shop"),
                prediction=f"{number:032x}",
                key="x" * (number % 97),
                value=float(number),
                known=Instant(number),
                received=Instant(number),
            )
        )
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        number += 1


if __name__ == "__main__":
    main()
