"""Personal data: what is found, what only looks like it, and how it is masked."""

import pytest
from stdnum import iban, luhn

from fewtune.data.clean.personal import KINDS, PersonalData, described, find

FOUND = [
    ("write to ann.lee+shop@mail.example.co.uk, please", "email", "ann.lee+shop@mail.example.co.uk"),
    ("mail 'bob@example.org'!", "email", "bob@example.org"),
    ("jürgen@büro.example", "email", "jürgen@büro.example"),
    ("IBAN GB82 WEST 1234 5698 7654 32 is mine", "iban", "GB82 WEST 1234 5698 7654 32"),
    ("pay DE89370400440532013000.", "iban", "DE89370400440532013000"),
    ("FR14 2004 1010 0505 0001 3M02 606 danke", "iban", "FR14 2004 1010 0505 0001 3M02 606"),
    ("card 4111 1111 1111 1111 exp 03/27", "card", "4111 1111 1111 1111"),
    ("my amex 3782-822463-10005", "card", "3782-822463-10005"),
    ("from 192.168.10.24 to you", "ip", "192.168.10.24"),
    ("from 2001:db8:85a3::8a2e:370:7334 today", "ip", "2001:db8:85a3::8a2e:370:7334"),
    ("ring +44 20 7946 0958 now", "phone", "+44 20 7946 0958"),
    ("0049 30 901820 Berlin", "phone", "0049 30 901820"),
    ("Call 08712460324 (10p/min)", "phone", "08712460324"),
    ("my mobile is 07700 900123", "phone", "07700 900123"),
    ("call me at (415) 555-2671 or mail", "phone", "(415) 555-2671"),
    ("415-555-2671 any time", "phone", "415-555-2671"),
    ("Telefon: 030 901820", "phone", "030 901820"),
    ("mon numéro est 01 42 68 53 00 merci", "phone", "01 42 68 53 00"),
    ("whatsapp +91 98765 43210", "phone", "+91 98765 43210"),
]
NOT = [
    "order 4111111111111112",
    "order 4471-2290-11 of 2024-01-15",
    "IBAN GB82 WEST 1234 5698 7654 33",
    "version 2.10.4.1 and v1.2.3.4 and 999.1.1.1",
    "at 12:30:45, std::vector, a::b, 127.0.0.1",
    "IMEI 490154203237518",
    "Invoice 0301234567 and reference 020 7946 0958",
    "between 1000-2000 and 30000-40000 units",
    "me@home or @handle or a@b",
    "tracking number: 1Z999AA10123456784",
    "£1,500,000.00 in 2023/2024, 3.14159265358979",
    "https://shop.example/item/4155552671",
]


@pytest.mark.parametrize(("text", "kind", "value"), FOUND)
def test_found_whole_and_nothing_else(text, kind, value):
    assert [(item.kind, text[item.start : item.end]) for item in find(text)] == [(kind, value)]


@pytest.mark.parametrize("text", NOT)
def test_what_only_looks_like_it_is_left(text):
    assert find(text) == []


def test_a_card_needs_its_sum_and_an_iban_its_checksum():
    assert luhn.is_valid("4111111111111111")
    assert not iban.is_valid("GB82WEST12345698765433")
    assert find("4111111111111111")[0].kind == "card"
    assert find("4111111111111112") == []


def test_masked_with_typed_words():
    text = "I am ann@example.org, card 4111111111111111, IBAN DE89370400440532013000, +44 20 7946 0958, 10.1.2.3."
    proposal = PersonalData().propose(text)
    assert proposal.after == "I am [EMAIL], card [CARD], IBAN [IBAN], [PHONE], [IP]."
    assert "1 payment card masked" in proposal.reason


def test_only_the_kinds_asked_for_are_masked():
    text = "ann@example.org or +44 20 7946 0958"
    assert PersonalData(kinds=("phone",)).propose(text).after == "ann@example.org or [PHONE]"
    assert PersonalData(kinds=("iban",)).propose(text) is None


def test_a_text_that_is_one_address_becomes_its_mask():
    assert PersonalData().propose("ann@example.org").after == "[EMAIL]"


def test_counted_in_words():
    found = find("a@example.org b@example.org 10.1.2.3 and 10.1.2.4")
    assert described(found) == ["2 e-mail addresses", "2 network addresses"]
    assert [item.kind for item in found] == ["email", "email", "ip", "ip"]
    assert set(KINDS) >= {item.kind for item in found}
