"""The error tree as its module draws it is the one that exists."""

import re

from lungscope import errors


def test_the_tree_drawn_is_the_tree() -> None:
    assert errors.__doc__
    drawn = re.findall(r"^([│├└─ ]*)([A-Z]\w+)", errors.__doc__.split("\n\n")[1], re.MULTILINE)
    depth = {name: len(branches) // 4 for branches, name in drawn}
    classes = [errors.LungscopeError, *below(errors.LungscopeError)]
    assert depth == {cls.__name__: len(cls.__mro__) - len(errors.LungscopeError.__mro__) for cls in classes}


def below(cls: type[errors.LungscopeError]) -> list[type[errors.LungscopeError]]:
    own = [sub for sub in cls.__subclasses__() if sub.__module__ == errors.__name__]
    return [each for sub in own for each in (sub, *below(sub))]


def test_no_entry_point_is_promised_that_does_not_exist() -> None:
    assert "DICOM" not in str(errors.__doc__)
