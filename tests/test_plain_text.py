"""Text from elsewhere cannot act on a terminal."""

from halluc.plain_text import printable


def test_what_is_not_seen_is_escaped() -> None:
    assert printable("\x1b]0;title\x07 a\nb") == "\\x1b]0;title\\x07 a\\nb"
    assert printable("left\u202eright \u2028 \ud83d") == "left\\u202eright \\u2028 \\ud83d"
    assert printable("Müller 猫 🐈") == "Müller 猫 🐈"
