"""Write dsttool/schemas anew from the types of dsttool.engine.vocabulary: run it after changing one of them.

python tests/support/write_schemas.py
"""

import json
from pathlib import Path

import dsttool
from dsttool.engine.vocabulary.schemas import ANSWERS, schema_of

FOLDER = Path(dsttool.__file__).parent / "schemas"


def texts() -> dict[str, str]:
    """What each file has to contain."""
    return {f"{name}-1.json": json.dumps(schema_of(name), indent=1) + "\n" for name in ANSWERS}


def main() -> None:
    """Write all of them, and remove what is none any more."""
    FOLDER.mkdir(exist_ok=True)
    wanted = texts()
    for path in FOLDER.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
