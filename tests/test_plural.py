import pytest

from fewtune.plural import agreeing, counted


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 rows repeat another"), (1, "1 row repeats another"), (2, "2 rows repeat another")]
)
def test_noun_and_verb_agree_with_their_number(count, said):
    assert counted(count, "row repeats another", "rows repeat another") == said
    assert f"{counted(count, 'row')} {agreeing(count, 'repeats', 'repeat')} another" == said
