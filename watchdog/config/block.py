"""What every block of the configuration is: a model of pydantic's."""

from pydantic import BaseModel, ConfigDict


class Block(BaseModel):
    """A block of keys: the unknown is refused, and nothing changes once it is read."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        defer_build=True,  # else each is made twice: on its own, and as a part of ``Config``
    )
