"""Unlabelled rows that are known already."""

from audit_worlds import rows_of

from fewtune.audit.base import Ground
from fewtune.audit.pool_copies import PoolCopies

TRAIN = [(f"a training text of number {n}", "ab"[n % 2]) for n in range(200)]
TEST = [(f"something asked in the test, {n}", "ab"[n % 2]) for n in range(50)]
POOL = [(f"nobody has labelled this one yet {n}", None) for n in range(30)]


def found(pool, test=TEST):
    return list(PoolCopies().run(Ground(rows_of(TRAIN), None if test is None else rows_of(test), rows_of(pool))))


def test_new_texts_are_no_finding():
    assert found(POOL) == found(POOL, test=None) == []


def test_the_training_file_given_as_unlabelled_is_said():
    [finding] = found([(text, None) for text, _ in TRAIN], test=None)
    assert finding.severity == "warning"
    assert finding.what == "200 of 200 unlabelled rows are training rows word for word."
    assert finding.numbers == {"rows": 200, "share_of_train": 1.0}


def test_test_texts_come_first_and_lead_to_their_rows():
    pool = [*POOL, ("Something asked in the TEST: 7!", None), (TRAIN[0][0], None)]
    test, train = found(pool)
    assert (test.severity, train.severity) == ("warning", "note"), "one of 50, one of 200"
    assert [(row.row, row.note) for row in test.rows] == [(31, "test row 8")]
    assert [(row.row, row.note) for row in train.rows] == [(32, "training row 1")]
    assert test.what == "1 of 32 unlabelled rows is a test row word for word."
