"""A layout as another package may bring it: the last member comes first. See test_registry.py."""

from dsttool.engine.mapping.algorithm import Algorithm


class Backwards(Algorithm):
    """Linear from the last member to the first, with `reserve` bytes at each one's end left free."""

    name = "backwards"
    defaults = {"reserve": 0}

    def __init__(self, member_sizes, **parameters):
        super().__init__(member_sizes, **parameters)
        reserve = self._parameters["reserve"]
        self._sizes = [max(0, size - reserve) for size in member_sizes]
        self.size = sum(self._sizes)
        self.spare = 0

    def _find(self, offset):
        for slot in reversed(range(self.slots)):
            if offset < self._sizes[slot] or slot == 0:
                return slot, offset
            offset -= self._sizes[slot]
        raise AssertionError("an array has a slot 0")

    def locate(self, offset, length):
        slot, at = self._find(offset)
        return ((slot,), at) if at + length <= self._sizes[slot] else None

    def room(self, offset):
        slot, at = self._find(offset)
        return self._sizes[slot] - at

    def join(self, slot, offset, length):
        run = min(length, self._sizes[slot] - offset)
        return [(sum(self._sizes[slot + 1 :]) + offset, run)] if run > 0 else []

    def member_size(self, slot):
        return self._sizes[slot]
