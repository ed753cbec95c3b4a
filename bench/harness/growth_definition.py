"""Workflows of any size: activities one after the other, each with so many paths."""
from pathlib import Path

HEAD = """\
workflow: {name}
input:
  message_id: integer
data:
  message:
    table: {table}
    key: {{ id: input.message_id }}
start: read-1
activities:
"""
# Who waits behind a hundred thousand others waits for long, and is to complete.
ACTIVITY = """\
  read-{number}:
    enable-exclusive-lock: true
    lock-context: '{context}'
    waiting-timeout: 1m
    acquire-timeout: 30m
    script: |
      data.message.read = data.message.read + 1
"""
NEXT = """\
    navigation:
      - to: read-{number}
"""


def lock_context(n_paths: int) -> str:
    """One path is the message. More are parts of it: none covers another."""
    if n_paths == 1:
        return '{"message", input.message_id}'
    parts = ", ".join(f'{{"message", input.message_id, "part", {n}}}'
                      for n in range(1, n_paths + 1))
    return f"{{{parts}}}"


def write(directory: Path, name: str, table: str, n_activities: int = 1, n_paths: int = 1) -> str:
    """The file."""
    text = HEAD.format(name=name, table=table)
    for number in range(1, n_activities + 1):
        text += ACTIVITY.format(number=number, context=lock_context(n_paths))
        if number < n_activities:
            text += NEXT.format(number=number + 1)
    path = directory / f"{name}.yaml"
    path.write_text(text)
    return str(path)
