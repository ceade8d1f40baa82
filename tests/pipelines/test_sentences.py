"""Sentences end where a reader of the language says so; no word is lost between two of them."""

import importlib.util
import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.transforms.sentences import make_splitter, require_splitter
from schemas.errors import UsageError

# Sentences of one text in a row, as a reader of the language divides them; "/" stands for the end of one.
GOLD = [
    ("en", "It rained. / Nobody came! / Why not? / Because."),
    ("en", "Dr. Who met J. S. Bach and Mrs. Smith. / He left with St. Peter."),
    ("en", "The U.S. Army came. / He lived in the U.S. / They left at 5 p.m. with Ph.D. students."),
    ("en", "It is 3.5 m long, i.e. short. / See fig. 3 and No. 5. / No. / Vol. 7 is lost."),
    ("en", 'He said "Stop." / Then he went. / "What?" he asked. / (It was late.) / "Why!"'),
    ("en", "Wait... what? / Then… / He worked for Smith Inc. in May. / He founded Smith Inc. / The firm grew."),
    ("en", "He joined Yahoo! and left. / An iPhone is e.g. this one."),
    ("simple", "Mt. Everest is high. / It is in Asia."),
    ("de", "Er kam am 3. Oktober 1990. / Dann regierte Ludwig XIV. in z. B. Paris. / Das ist ca. 5 km entfernt."),
    ("de", "Die Fa. gehört Dr. Müller. / Er starb 1832. / Danach kam der 2. Band."),
    ("fr", "M. Dupont vint avec Mme. Curie à l'av. Foch. / C'est tout. / «\u00a0Ah\u00a0!\u00a0» dit-il."),
    ("es", "¿Qué es? / ¡Nada! / El Sr. López vive en la avda. Mayor. / Murió en 1990."),
    ("it", "Il sig. Rossi abita a Roma. / È nato nel 1950."),
    ("pt", "O Sr. Silva nasceu em 1950. / A Dra. Costa não."),
    ("nl", "Hij is bijv. laat. / Zij kwam."),
    ("pl", "Ur. 3. maja 1791 r. w Krakowie. / Prof. Nowak i in. badali ul. Długą."),
    ("cs", "Narodil se 5. března 1900. / Karel IV. byl např. císař."),
    ("fi", "Hän syntyi 3. toukokuuta. / Hän oli mm. kuningas."),
    ("sv", "Han kom bl.a. hit. / Hon gick."),
    ("tr", "Atatürk 1881'de doğdu. / 20. yüzyılda Prof. Öz geldi."),
    ("ru", "А. С. Пушкин родился в 1799 г. в Москве. / Он умер. / См. рис. 5 и т. д. здесь."),
    ("uk", "Він народився у 1990 р. в м. Київ. / Вона теж."),
    ("bg", "Роден е през 1850 г. в с. Калофер. / Умира в гр. София! / Защо?"),
    ("el", "Τι κάνεις; / Είμαι καλά. / Τέλος."),
    ("hy", "Սա քաղաք է: / Այն մեծ է։ / Վերջ։"),
    ("ka", "თბილისი დედაქალაქია. / ის დიდია. / მოსახლეობა მილიონია."),
    ("he", "ירושלים היא עיר. / היא גדולה? / כן!"),
    ("he", "ירושלים היא עיר.\u200f / היא גדולה?\u200f / כן!"),
    ("ar", "أين أنت؟ / القاهرة مدينة. / هي كبيرة!"),
    ("ur", "یہ شہر ہے۔ / یہ بڑا ہے۔"),
    ("hi", "दिल्ली राजधानी है। / यह बड़ी है। / क्यों?"),
    ("bn", "ঢাকা রাজধানী। / এটি বড়।"),
    ("th", "กรุงเทพเป็นเมืองหลวง ใหญ่มาก"),
    ("my", "ရန်ကုန်သည် မြို့ဖြစ်သည်။ / ကြီးသည်။"),
    ("km", "ភ្នំពេញជារដ្ឋធានី។ / វាធំ។"),
    ("am", "አዲስ አበባ ከተማ ናት። / ትልቅ ናት።"),
    ("ko", "서울은 수도이다. / 인구가 많다."),
    ("ja", "東京は首都です。 / 「今日は。」と言った。 / 人口は3.5万人！ / なぜ？"),
    ("zh", "他说：“你好。” / 然后走了。 / 北京是首都！ / 真的？"),
]


def divide(text, ends):
    """The sentences without the white space between them."""
    return [piece for start, end in itertools.pairwise([0, *ends]) if (piece := text[start:end].strip())]


@pytest.mark.parametrize(("language", "marked"), GOLD)
def test_sentences_of_a_language(language, marked):
    sentences = marked.split(" / ")
    text = ("" if language in ("ja", "zh") else " ").join(sentences)
    assert divide(text, make_splitter("rules", language)(text)) == sentences


def test_a_line_is_a_paragraph_whatever_ends_it():
    text = "1. First item\nsecond item,\n\nthird. Part of it\n"
    expected = ["1. First item", "second item,", "third.", "Part of it"]
    assert divide(text, make_splitter("rules", "en")(text)) == expected


@given(st.text(alphabet='aB3 .\n!?…。」")(;:١।', max_size=80), st.sampled_from(["en", "de", "el", "hy", "ja"]))
def test_ends_are_in_order_and_every_line_ends(text, language):
    ends = make_splitter("rules", language)(text)
    assert ends == sorted(ends)
    assert ends[-1] == len(text)
    assert {at + 1 for at, char in enumerate(text) if char == "\n"} <= set(ends)
    assert all(text[end - 1 : end + 1] != "aB" for end in ends[:-1])


@pytest.mark.slow
@pytest.mark.parametrize("piece", [".", ". ", ". A ", "。", "。。」", "\n", ". (((", ".)))", "a.", ".     "])
def test_time_grows_with_the_length_of_a_hostile_text(piece):
    def seconds(length):
        text, split = piece * (length // len(piece)), make_splitter("rules", "en")
        begun = time.process_time()
        split(text)
        return time.process_time() - begun

    # Four times the text takes four times as long, sixteen where the rules are quadratic.
    assert min(seconds(100_000) for _ in range(2)) < 8 * max(min(seconds(25_000) for _ in range(2)), 0.005)


def test_spacy_that_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    require_splitter("rules")
    with pytest.raises(UsageError, match=r"pip install '\.\[spacy\]'"):
        require_splitter("spacy")


@pytest.mark.parametrize("language", ["en", "bg", "ja", "sh"])
def test_spacy_divides_line_by_line_in_any_language(language):
    pytest.importorskip("spacy")
    text = "Ada came home. She slept!\n\nTwo\tlines here. Is it so?\r\n  End"
    expected = ["Ada came home.", "She slept!", "Two\tlines here.", "Is it so?", "End"]
    assert divide(text, make_splitter("spacy", language)(text)) == expected
    assert make_splitter("spacy", language)("") in ([], [0])
