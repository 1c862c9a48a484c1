from pathlib import Path

import pytest

from lungscope.errors import ConfigError, OutputError
from lungscope.serve.keys import Key, open_key
from lungscope.serve.settings import Address, Limits, Retention, Settings, configure
from lungscope.serve.tokens import Tokens, read_tokens

SECRET = "correct-horse-battery"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "radiology.example"])
def test_nothing_but_loopback_is_served_without_a_token(host: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="LUNGSCOPE_TOKEN or pass --token-file"):
        Settings(tmp_path, Address(host))
    assert Settings(tmp_path, Address(host), tokens=read_tokens({"LUNGSCOPE_TOKEN": SECRET}, None))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_token(host: str, tmp_path: Path) -> None:
    assert Address(host).is_loopback
    assert Settings(tmp_path, Address(host)).database_url == f"sqlite:///{tmp_path}/lungscope.db"


def test_loopback_goes_by_its_own_names_only() -> None:
    assert Address(allowed=frozenset({"Xray.example"})).names == {
        "localhost", "127.0.0.1", "[::1]", "xray.example",
    }  # fmt: skip
    assert Address("0.0.0.0").names == frozenset()


def test_limits_that_cannot_be_are_refused() -> None:
    for wrong in ({"files": 300}, {"files": 0}, {"seconds": 0.0}, {"request_bytes": 0}):
        with pytest.raises(ConfigError):
            Limits(**wrong)  # type: ignore[arg-type]


def test_settings_come_from_the_command_line_and_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUNGSCOPE_DATABASE", "postgresql://a@b/c")
    monkeypatch.setenv("LUNGSCOPE_DATA", str(tmp_path))
    monkeypatch.setenv("LUNGSCOPE_TOKEN", SECRET)
    found = configure(None, Address("0.0.0.0"), Retention(), Limits())
    assert found.folder == tmp_path
    assert found.database_url == "postgresql://a@b/c"
    assert found.tokens.who(f"Bearer {SECRET}") == "token"
    with pytest.raises(ConfigError, match="--retention-days 0"):
        Retention(days=0)


def test_tokens_of_a_file_have_names(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"# who may ask\nris: {SECRET}-1\n\n{SECRET}-2\n")
    tokens = read_tokens({}, file)
    assert tokens.who(f"Bearer {SECRET}-1") == "ris"
    assert tokens.who(f"bearer {SECRET}-2") == "token2"
    assert tokens.who(f"Bearer {SECRET}") is None
    assert tokens.who("") is None
    assert SECRET not in repr(tokens)


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        ("short\n", "at least 16"),
        ("a: b c d e f g h i j k l m\n", "without spaces"),
        (f"a:{SECRET}\na:{SECRET}x\n", "Give each its own name"),
        ("# nothing\n", "Write one a line"),
    ],
)
def test_token_files_that_cannot_be_are_refused_without_showing_them(tmp_path: Path, content: str, remedy: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(content)
    with pytest.raises(ConfigError, match=remedy) as raised:
        read_tokens({}, file)
    assert SECRET not in str(raised.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_tokens({}, tmp_path / "none")


def test_all_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import hmac

    compared: list[int] = []
    real = hmac.compare_digest

    def counting(a: bytes, b: bytes) -> bool:
        compared.append(len(a) - len(b))
        return real(a, b)

    monkeypatch.setattr("hmac.compare_digest", counting)
    tokens = Tokens({name: bytes(32) for name in "abc"})
    tokens.who("Bearer x")
    assert compared == [0, 0, 0]


def test_a_key_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    key = open_key(tmp_path / "data")
    assert open_key(tmp_path / "data") == key
    assert (tmp_path / "data" / "lungscope.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["lungscope.key"]
    assert key.secret.hex() not in repr(key)


def test_a_key_that_cannot_be_trusted_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        open_key(tmp_path, create=False)
    open_key(tmp_path)
    path = tmp_path / "lungscope.key"
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        open_key(tmp_path)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(ConfigError, match="backup"):
        open_key(tmp_path)
    with pytest.raises(OutputError, match="cannot be written"):
        open_key(path / "below")


def test_a_pseudonym_needs_the_key_and_is_not_a_link_of_the_log() -> None:
    one, other = Key(b"a" * 32), Key(b"b" * 32)
    assert one.pseudonym(" 4711 ") == one.pseudonym("4711") != other.pseudonym("4711")
    assert one.pseudonym("  ") is None
    assert one.link("", "4711") != one.pseudonym("\n4711")
