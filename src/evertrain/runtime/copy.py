"""What becomes of a process that user code made of the one it runs in, and let come back."""

import os

__all__ = ["end_if_copied"]


def end_if_copied(pid: int) -> None:
    """End this process at once where it is not the one of this number.

    Models and features may fork. A copy that comes back from there holds the same connections, and would answer what
    the original answers, once more. pid: of the process that called them.
    """
    if os.getpid() != pid:
        os._exit(0)
