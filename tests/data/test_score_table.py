"""Tables of labelled scores: every form of their columns, and what is refused."""

from pathlib import Path

import pytest

from lungscope.data.score_table import read_scores
from lungscope.errors import LungscopeError, ManifestError


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "scores.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("column", ["PNEUMONIA", "p_PNEUMONIA", "p_pneumonia", "score", "p_abnormal"])
def test_one_column_is_enough_for_two_classes(tmp_path: Path, column: str) -> None:
    found = read_scores(table(tmp_path, f"label;{column}\nNORMAL;0.2\nPNEUMONIA;0.7\n"))
    assert found.probabilities.tolist() == [[0.8, 0.2], [pytest.approx(0.3), 0.7]]
    assert found.patients == ("", "")


def test_our_own_predictions_csv_is_such_a_table(tmp_path: Path) -> None:
    text = "path,label,split,finding,p_abnormal,p_NORMAL,p_PNEUMONIA,not_assessed\n"
    text += "a.png,NORMAL,test,NORMAL,0.1,0.9,0.1,\nb.png,PNEUMONIA,test,PNEUMONIA,0.7,0.3,0.7,\n"
    found = read_scores(table(tmp_path, text))
    assert found.probabilities.tolist() == [[0.9, 0.1], [0.3, 0.7]]
    assert list(found.columns) == ["split"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no rows"),
        ("label,a,b\n", "no rows"),
        ("truth,a,b\na,0.5,0.5\n", "no column 'label'"),
        ("label,x\na,0.5\nb,0.1\n", "no column holds the probability of 'a'"),
        ("label,a,b\na,0.5,1.5\nb,0.5,0.5\n", "line 2: b '1.5' is outside"),
        ("label,a,b\na,0.5,0.5\nb,,0.5\n", "line 3: a '' is no number"),
        ("label,a,b\na,0.5,0.5\nb,high,0.5\n", "line 3: a 'high' is no number"),
        ("label,a,b\na,nan,0.5\nb,0.5,0.5\n", "line 2: a 'nan' is no number"),
        ("label,a,b\na,0.5,0.5\nb,0.5,0.4\n", "line 3: the probabilities sum to 0.9"),
        ("label,a,b\na,0.5,0.5\nb,0.5,0.5\nc,0.5,0.5\n", "line 4: label 'c' has no column"),
        ("label,p_a,p_b\na,0.5,0.5\na,0.4,0.6\n", "every label is 'a'"),
        ("label,score\na,0.5\na,0.4\n", "every label is 'a'"),
        ("label,score\na,0.5\nb,0.4\nc,0.4\n", "no column holds"),
        ("label,a,b\na,0.5,0.5\n,0.5,0.5\n", "line 3: the label is empty"),
        ("label,a,b\na,0.5\n", "line 2: 2 cells"),
        ("label,a,A\na,0.5,0.5\n", "two columns are called 'a'"),
        ('label,a,b\n"a,0.5,0.5\n', "quotes"),
    ],
)
def test_a_bad_table_is_refused_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ManifestError, match=says) as caught:
        read_scores(table(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LungscopeError, match="UTF-8"):
        read_scores(table(tmp_path, "label,ä\n", "latin-1"))
    with pytest.raises(LungscopeError, match="cannot be read"):
        read_scores(tmp_path / "none.csv")
