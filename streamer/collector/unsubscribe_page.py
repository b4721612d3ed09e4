"""The page to which the link in a mail leads: it asks, and says that it is done. It needs no script, and nothing from elsewhere.

A look at it changes nothing: scanners of mailboxes follow every link.
"""

from __future__ import annotations

import re
from html import escape
from typing import Final, NamedTuple


class PageWords(NamedTuple):
    """The page in one language."""

    title: str
    question: str
    button: str
    done: str
    broken: str
    direction: str = "ltr"


WORDS: Final = {
    "en": PageWords(
        "Unsubscribe",
        "Do you want no more messages of this kind?",
        "Unsubscribe",
        "You are unsubscribed. It takes effect at once.",
        "This link is not complete. Please use the one in the message as it is.",
    ),
    "uk": PageWords(
        "Відписатися",
        "Ви більше не хочете отримувати такі повідомлення?",
        "Відписатися",
        "Вас відписано. Це діє відразу.",
        "Це посилання неповне. Скористайтеся, будь ласка, посиланням із повідомлення.",
    ),
    "ar": PageWords(
        "إلغاء الاشتراك",
        "هل تريد عدم تلقي رسائل من هذا النوع بعد الآن؟",
        "إلغاء الاشتراك",
        "تم إلغاء اشتراكك، ويسري ذلك فورًا.",
        "هذا الرابط غير مكتمل. يرجى استخدام الرابط الموجود في الرسالة كما هو.",
        "rtl",
    ),
    "fa": PageWords(
        "لغو اشتراک",
        "آیا دیگر نمی‌خواهید چنین پیام‌هایی دریافت کنید؟",
        "لغو اشتراک",
        "اشتراک شما لغو شد و بلافاصله اعمال می‌شود.",
        "این پیوند کامل نیست. لطفاً از پیوند داخل پیام همان‌طور که هست استفاده کنید.",
        "rtl",
    ),
}
FALLBACK: Final = "en"
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
}
STYLE: Final = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem}button{font:inherit;padding:.5rem 1rem}"
)


def language_for(accept: str) -> str:
    """The first language of an ``Accept-Language`` header that the page has.

    >>> language_for("de, uk-UA;q=0.8, en;q=0.5"), language_for("de"), language_for("")
    ('uk', 'en', 'en')
    """
    for item in accept[:500].split(","):
        found = re.match(r"\s*([A-Za-z]{2,3})\b", item)
        if found is not None and found[1].lower() in WORDS:
            return found[1].lower()
    return FALLBACK


def asking_page(language: str, action: str) -> str:
    """The question, with a button that posts to ``action``."""
    words = WORDS[language]
    form = f'<form method="post" action="{escape(action)}"><button>{escape(words.button)}</button></form>'
    return _page(language, words, f"<p>{escape(words.question)}</p>{form}")


def done_page(language: str) -> str:
    """That it is done."""
    return _page(language, WORDS[language], f"<p>{escape(WORDS[language].done)}</p>")


def broken_page(language: str) -> str:
    """That the link is none of ours."""
    return _page(language, WORDS[language], f"<p>{escape(WORDS[language].broken)}</p>")


def _page(language: str, words: PageWords, body: str) -> str:
    return (
        f'<!doctype html><html lang="{language}" dir="{words.direction}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(words.title)}</title><style>{STYLE}</style></head><body><h1>{escape(words.title)}</h1>{body}</body></html>"
    )


__all__ = ["HEADERS", "WORDS", "asking_page", "broken_page", "done_page", "language_for"]
