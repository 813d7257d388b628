"""Rows in another language are found; short and odd rows of the majority's are not taken for one."""

from pathlib import Path

import pytest

from fewtune.audit.base import Ground
from fewtune.audit.language import Language, called, tell
from fewtune.data.base import Dataset, Example
from fewtune.data.read import read
from fewtune.testing.checks import rows_of

EXAMPLES = Path(__file__).parents[2] / "examples"
PLANTED = {
    "German": [
        "Mein Paket ist seit zwei Wochen unterwegs und niemand antwortet mir.",
        "Ich möchte mein Abo zum Monatsende kündigen.",
        "Die App stürzt beim Öffnen der Kamera ab.",
        "Bitte erstatten Sie mir den doppelt abgebuchten Betrag.",
        "Wie verbinde ich den Thermostat mit dem WLAN?",
        "Das Gerät kam mit zerbrochenem Glas an.",
    ],
    "Spanish": [
        "Mi paquete no ha llegado y ya pasaron dos semanas.",
        "Quiero cancelar mi suscripción a fin de mes.",
        "La aplicación se cierra cada vez que abro la cámara.",
        "Me han cobrado dos veces la misma factura.",
        "No puedo iniciar sesión en mi cuenta.",
        "¿Cómo conecto el termostato a la red?",
    ],
    "French": [
        "Mon colis n'est toujours pas arrivé depuis deux semaines.",
        "Je voudrais résilier mon abonnement à la fin du mois.",
        "L'application plante dès que j'ouvre la caméra.",
        "On m'a facturé deux fois le même montant.",
        "Je n'arrive pas à me connecter à mon compte.",
        "Comment relier le thermostat au réseau ?",
    ],
}
ELSEWHERE = {
    "Где мой заказ?": "Russian",
    "我的包裹在哪里？": "Chinese",
    "أين طردي؟": "Arabic",
    "荷物はどこですか。": "Japanese",
}


def english(name="tickets.csv"):
    return read(EXAMPLES / name, labelled=None)


def findings(train, **parts):
    return list(Language().run(Ground(train, **parts)))


def with_rows(dataset, texts):
    more = [Example(text, dataset.classes[0], id=f"new{row}") for row, text in enumerate(texts)]
    return dataset.replace(examples=[*dataset.examples, *more])


@pytest.mark.parametrize("name", ["tickets.csv", "tickets_test.csv"])
def test_english_tickets_raise_no_alarm(name):
    assert findings(english(name)) == []


def test_of_the_unlabelled_rows_only_the_filler_text_is_named():
    (found,) = findings(english(), unlabelled=english("tickets_unlabelled.csv"))
    assert [row.text for row in found.rows] == ["Lorem ipsum dolor sit amet"]


@pytest.mark.parametrize("language", PLANTED)
def test_every_planted_row_is_found_and_its_language_named(language):
    (found,) = findings(with_rows(english(), PLANTED[language]))
    assert {row.text for row in found.rows} == set(PLANTED[language])
    assert {row.note for row in found.rows} == {language}
    assert found.severity == "warning"
    assert "not in English" in found.what
    scores = [row.score for row in found.rows]
    assert scores == sorted(scores, reverse=True)


def test_a_few_letters_are_enough_in_another_script():
    (found,) = findings(with_rows(english(), list(ELSEWHERE)))
    assert {row.text: row.note for row in found.rows} == ELSEWHERE
    assert found.severity == "note", "under one row in a hundred"


def test_rows_of_the_test_file_are_held_against_the_training_rows():
    test = rows_of(PLANTED["French"], [None] * 6)
    (found,) = findings(english(), test=test)
    assert {row.part for row in found.rows} == {"test"}


def test_english_among_german_is_the_odd_one_and_german_asks_for_a_backbone():
    german = rows_of([*PLANTED["German"], "The parcel never arrived, please send me another one."], ["a"] * 7)
    stranger, backbone = findings(german)
    assert [(row.row, row.note) for row in stranger.rows] == [(7, "English")]
    assert "are in German" in backbone.what
    assert "--backbone" in backbone.do


def test_a_file_of_several_languages_names_no_row():
    mixed = rows_of([text for texts in PLANTED.values() for text in texts], ["a"] * 18)
    (found,) = findings(mixed)
    assert "several languages: " in found.what
    assert found.rows == ()
    assert found.numbers["shares"]["de"] == pytest.approx(1 / 3, abs=0.01)


def test_addresses_numbers_and_tags_have_no_language():
    assert tell("https://example.org/impressum/ueber-uns @benutzer #urlaub 12345") is None
    assert tell("ok") is None
    assert tell("Ich möchte das Gerät zurückgeben").language == "de"


def test_too_few_rows_say_nothing():
    assert findings(Dataset(tuple(Example(text, "a") for text in PLANTED["German"][:4]))) == []


def test_rare_languages_are_called_by_their_code():
    assert (called("de"), called("xx")) == ("German", "language 'xx'")


def test_letters_of_another_script_are_strange_even_where_the_language_is_not_known():
    """Lao is not among what the model tells well; its letters alone say that it is not English."""
    (found,) = findings(
        with_rows(english(), ["ຂ້ອຍຕ້ອງການເງິນຄືນ", "ＦＵＬＬ ｗｉｄｔｈ ｌｅｔｔｅｒｓ ａｒｅ Ｌａｔｉｎ"])
    )
    assert [row.text for row in found.rows] == ["ຂ້ອຍຕ້ອງການເງິນຄືນ"]
    assert found.rows[0].note in ("Lao letters", "language 'lo'")
