import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.config import units
from dsttool.engine.vocabulary.errors import UsageError

SIZES = st.integers(min_value=0, max_value=units.SIZE_MAX)
DURATIONS = st.integers(min_value=0, max_value=units.DURATION_MAX_NS)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        ("512B", 512),
        ("64K", 65536),
        ("64k", 65536),
        ("64KB", 65536),
        ("64KiB", 65536),
        ("1M", 1 << 20),
        ("1G", 1 << 30),
        ("1.5GiB", 3 << 29),
        ("40 GiB", 40 << 30),
        ("2T", 2 << 40),
        ("1P", 1 << 50),
        ("9223372036854775807", (1 << 63) - 1),
    ],
)
def test_sizes_are_read_as_powers_of_two(text: str, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "K", "-1", "1X", "1iB5", "1e3", "1..5", "0x10", ".5K", "\uff11", "1 2K", "1_0"]
)
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size") as caught:
        units.parse_size(text)
    assert "64K" in caught.value.advice


def test_a_fraction_of_a_byte_is_refused() -> None:
    with pytest.raises(UsageError, match="not a whole number of bytes"):
        units.parse_size("0.3K")


def test_a_size_beyond_the_largest_offset_is_refused() -> None:
    with pytest.raises(UsageError, match="larger than any device"):
        units.parse_size("8192P")


@given(SIZES)
def test_an_exact_size_is_read_back_the_same(size: int) -> None:
    assert units.parse_size(units.format_exact_size(size)) == size


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (10 * 1024 + 512, "10.5 KiB"),
        (1023 * 1024, "1023 KiB"),
        ((1 << 20) - 1, "1 MiB"),
        (40 << 30, "40 GiB"),
        (100 << 30, "100 GiB"),
        ((1 << 63) - 1, "8192 PiB"),
    ],
)
def test_sizes_are_shown_with_three_digits_and_an_iec_unit(size: int, shown: str) -> None:
    assert units.format_size(size) == shown


@given(SIZES)
def test_a_shown_size_is_within_a_hundredth_of_the_size(size: int) -> None:
    number, unit = units.format_size(size).split()
    scale = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "PiB": 1 << 50}[unit]
    assert abs(float(number) * scale - size) <= size / 100


@pytest.mark.parametrize(
    ("text", "duration_ns"),
    [
        ("500ms", 500_000_000),
        ("5s", 5_000_000_000),
        ("5", 5_000_000_000),
        ("0.5", 500_000_000),
        ("1.5s", 1_500_000_000),
        ("2m", 120_000_000_000),
        ("1h", 3_600_000_000_000),
        ("1d", 86_400_000_000_000),
        ("7us", 7_000),
        ("7ns", 7),
    ],
)
def test_durations_are_read_and_a_plain_number_is_seconds(text: str, duration_ns: int) -> None:
    assert units.parse_duration(text) == duration_ns


@pytest.mark.parametrize("text", ["", "s", "-1s", "5 minutes", "1S", "inf", "nan"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration") as caught:
        units.parse_duration(text)
    assert "500ms" in caught.value.advice


def test_a_fraction_of_a_nanosecond_is_refused() -> None:
    with pytest.raises(UsageError, match="not a whole number of nanoseconds"):
        units.parse_duration("0.5ns")


def test_a_duration_of_centuries_is_refused() -> None:
    with pytest.raises(UsageError, match="too long"):
        units.parse_duration("200000d")


@given(DURATIONS)
def test_a_duration_is_read_back_the_same(duration_ns: int) -> None:
    assert units.parse_duration(units.format_duration(duration_ns)) == duration_ns


@pytest.mark.parametrize(
    ("duration_ns", "shown"), [(0, "0s"), (500_000_000, "500ms"), (90 * 10**9, "90s"), (120 * 10**9, "2m")]
)
def test_durations_are_written_with_the_largest_unit_that_divides_them(duration_ns: int, shown: str) -> None:
    assert units.format_duration(duration_ns) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (1.9, "1s"),
        (119, "119s"),
        (125, "2m 5s"),
        (3600, "60m"),
        (2 * 3600, "2h"),
        (36_017, "10h"),
        (36_120, "10h 2m"),
        (3 * 86_400 + 4 * 3600 + 59, "3d 4h"),
    ],
)
def test_a_span_is_shown_in_two_units_at_most(seconds: float, shown: str) -> None:
    assert units.format_span(int(seconds * 1e9)) == shown
