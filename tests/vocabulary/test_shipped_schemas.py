"""The schemas that ship are those of the types, and schemas."""

import jsonschema
import pytest

from dsttool.engine.vocabulary.schemas import ANSWERS, schema_of
from support.write_schemas import FOLDER, texts


def test_the_shipped_schemas_are_those_of_the_types() -> None:
    shipped = {path.name: path.read_text() for path in FOLDER.glob("*")}
    assert shipped == texts(), "run: python tests/support/write_schemas.py"


@pytest.mark.parametrize("name", ANSWERS)
def test_a_schema_is_one(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema_of(name))
